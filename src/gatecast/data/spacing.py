"""The frequency of a table, read off the gaps between its timestamps."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gatecast.data.dates import Grid
from gatecast.data.frequency import DAY, HOUR, YEAR, Frequency, Weekdays
from gatecast.data.zones import beyond_standard
from gatecast.errors import DataError, in_percent

AGREEMENT = 0.9
"""Share of gaps that must be whole steps for a frequency to be believed."""

_MONTH = YEAR / 12 / DAY  # in days
LABELS: Mapping[str, tuple[bool, Weekdays]] = {
    "first_day": (False, ""),
    "last_day": (True, ""),
    "first_weekday": (False, "B"),
    "last_weekday": (True, "B"),
}
"""Where in its month every row lies: whether months are labelled by their end then, and by which days."""
Gap = Mapping[str, Any]


def infer(gaps: Sequence[Gap], timezone: str | None = None) -> tuple[Frequency, float]:
    """The frequency that fits the commonest gap, and the share of gaps that are whole steps of it.

    Args:
        gaps: rows of `store.spacing_query.spacing_query`.
        timezone: of the wall clock that they were read off.

    Raises:
        DataError: there are no gaps, or they fit no frequency.
    """
    if not gaps:
        raise DataError("the frequency cannot be seen: no series has two different timestamps; say it with --freq")
    total = sum(gap["gaps"] for gap in gaps)
    commonest = max(gaps, key=lambda gap: (gap["gaps"], -gap["gap"]))
    _refuse_months_as_days(int(commonest["gap"]), gaps, total)
    frequency = _of_gap(commonest, gaps, timezone)
    share: float = sum(gap["gaps"] for gap in gaps if _whole(gap["gap"], frequency)) / total
    if share < AGREEMENT:
        common = sorted(gaps, key=lambda gap: -gap["gaps"])[:5]
        seen = ", ".join(f"{gap['gap']:,} s ({in_percent(gap['gaps'] / total)})" for gap in common)
        raise DataError(
            f"the timestamps follow no frequency: the commonest gaps are {seen}; "
            "say one with --freq, such as h or D; --aggregate says how its rows are brought together"
        )
    return frequency, share


def frequencies(gaps: Sequence[Gap], timezone: str | None = None) -> dict[float, Frequency]:
    """The frequency of the series that have one of their own, by their usual gap in seconds."""
    own: dict[float, list[Gap]] = {}
    for gap in gaps:
        if gap["usual"] is not None:
            own.setdefault(gap["usual"], []).append(gap)
    commonest = {usual: max(rows, key=lambda gap: gap["gaps"]) for usual, rows in sorted(own.items())}
    return {usual: _of_gap(gap, own[usual], timezone) for usual, gap in commonest.items()}


def _refuse_months_as_days(seconds: int, gaps: Sequence[Gap], total: int) -> None:
    """Refuse months that were read as days: 12/01/2024, the first of December, as 12 January."""
    if seconds % DAY or seconds >= 12 * DAY:
        return
    inside = sum(gap["gaps"] for gap in gaps if gap["gap"] == seconds)
    # From the last of twelve months read as days to the first of the next year.
    between = sum(gap["gaps"] for gap in gaps if gap["gap"] // DAY - seconds // DAY in (353, 354))
    if inside + between >= AGREEMENT * total and 2 * between * 12 * DAY >= total * seconds:
        raise DataError(
            "all dates lie in the first days of a month, once a year, as if months were read as days: "
            "read a CSV file with --sql \"FROM read_csv('FILE', dateformat = '%m/%d/%Y')\", or say --freq D"
        )


def _of_gap(gap: Gap, gaps: Sequence[Gap], timezone: str | None) -> Frequency:
    seconds = int(gap["gap"])
    if seconds % DAY:
        latest = int(gap["latest"])
        ahead = beyond_standard(latest, timezone) if timezone and seconds <= HOUR else 0
        return Frequency("second", seconds, (latest - ahead) % seconds)
    days, first = seconds // DAY, int(gap["earliest"]) // DAY
    exact = sum(part["gaps"] for part in gaps if part["gap"] % seconds == 0)
    labels = [label for name, label in LABELS.items() if all(gap[name] for gap in gaps)]
    end, weekdays = labels[0] if labels else (False, "")
    monthly = labels and not weekdays  # alike gaps may be of July and August
    if days < 28 or (not monthly and exact >= AGREEMENT * sum(part["gaps"] for part in gaps)):
        # Weekends are left out of every day or of every second day; of more days the commonest gap spans one.
        if days <= 2 and all(gap["weekday"] for gap in gaps) and any(gap["gap"] == (days + 2) * DAY for gap in gaps):
            weekdays_of = Grid(Frequency("business day", 1, days="B")).from_wall
            number = int(weekdays_of(np.array([first], "datetime64[D]").astype("datetime64[s]"))[0])
            return Frequency("business day", days, number % days, days="B")
        return Frequency("day", days, first % days)
    months = round(days / _MONTH)
    month = int(np.datetime64(first, "D").astype("datetime64[M]").astype(int))
    return Frequency("month", months, (month + end) % months, end, weekdays)


def _whole(seconds: int, frequency: Frequency) -> bool:
    """Whether a gap is a whole number of steps; months and business days vary in length."""
    if frequency.unit == "month":
        months = max(1, round(seconds / DAY / _MONTH / frequency.multiple)) * frequency.multiple
        return abs(seconds / DAY - months * _MONTH) <= (5 if frequency.days else 3)
    # Weekends are two days, so that an even number of weekdays takes an even number of days.
    step = frequency.multiple * DAY if frequency.unit == "business day" else frequency.seconds
    return seconds % step == 0
