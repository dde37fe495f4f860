"""Instants to wall-clock time and back, for whole arrays, by the rules of `zoneinfo`.

A wall-clock time that happens twice (clocks go back) means the first of the two; one
that never happens (clocks go forward) means as much later as the clock was moved.
Both are PEP 495's reading of `fold=0`.
"""

from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from gatecast.errors import UsageError

Seconds = npt.NDArray[np.datetime64]  # datetime64[s]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST, _LAST = datetime(1850, 1, 1, tzinfo=UTC), datetime(2400, 1, 1, tzinfo=UTC)
_DAY = 86_400


def zone_of(name: str) -> ZoneInfo:
    """The zone of that name.

    Raises:
        UsageError: there is no such zone.
    """
    # What else lies beside the zones of a system, as localtime or right/UTC, means nothing to a database.
    with suppress(KeyError, ValueError, OSError):
        if name[:1].isupper() and name != "Factory":
            return ZoneInfo(name)
    raise UsageError(f"{name!r} is not a time zone: write it as in America/New_York or UTC")


def to_wall(instants: Seconds, zone: str) -> Seconds:
    """UTC to the wall clock of a zone."""
    if not instants.size:
        return instants
    moments, offsets = _changes(zone, *_years(instants))
    utc = instants.astype(np.int64)
    return (utc + offsets[np.searchsorted(moments, utc, side="right")]).astype("datetime64[s]")


def to_utc(wall: Seconds, zone: str) -> Seconds:
    """The wall clock of a zone to UTC."""
    if not wall.size:
        return wall
    clock, local = clock_of(zone, *_years(wall)), wall.astype(np.int64)
    offsets = np.array(clock.offsets)[np.searchsorted(clock.until, local, side="right")]
    found: Seconds = (local - offsets).astype("datetime64[s]")
    return found


def not_before(instants: Seconds, zone: str) -> Seconds:
    """The first wall-clock time that `to_utc` puts at each instant or after it.

    It is what the clock shows, but in an hour shown for the second time: `to_utc` puts all of that hour before.
    """
    wall = to_wall(instants, zone)
    until = np.append(clock_of(zone, *_years(wall)).until, 0)
    ends = until[np.searchsorted(until[:-1], wall.astype(np.int64), side="right")].astype("datetime64[s]")
    return np.where(to_utc(wall, zone) < instants, ends, wall)


@dataclass(frozen=True)
class Clock:
    """How the wall clock of a zone runs over some years, in seconds since 1970 on that clock.

    Attributes:
        until: before the first of these times the first of `offsets` holds, from the last on the last.
        offsets: seconds ahead of UTC.
        skipped: stretches, first and end, that the clock never shows.
        twice: stretches that it shows twice.
    """

    until: tuple[int, ...]
    offsets: tuple[int, ...]
    skipped: tuple[tuple[int, int], ...]
    twice: tuple[tuple[int, int], ...]


@lru_cache(maxsize=64)
def clock_of(zone: str, first: int, last: int) -> Clock:
    """The clock of a zone from one year to another."""
    moments, offsets = _changes(zone, first, last)
    low, high = np.minimum(offsets[:-1], offsets[1:]), np.maximum(offsets[:-1], offsets[1:])
    spans = list(zip((moments + low).tolist(), (moments + high).tolist(), (np.diff(offsets) > 0).tolist(), strict=True))
    return Clock(
        # The offset before a change holds through the whole skipped hour when clocks go
        # forward, and through the first pass when they go back.
        until=tuple((moments + high).tolist()),
        offsets=tuple(offsets.tolist()),
        skipped=tuple((start, end) for start, end, forward in spans if forward),
        twice=tuple((start, end) for start, end, forward in spans if not forward),
    )


def changes(zone: str, first: np.datetime64, last: np.datetime64) -> tuple[Seconds, npt.NDArray[np.int64]]:
    """The moments after one and up to another at which the clock of a zone is changed.

    Returns:
        the moments, in UTC; and how many seconds the clock is ahead of UTC before, between and after them.
    """
    moments, offsets = _changes(zone, *_years(np.array([first, last])))
    low, high = np.searchsorted(moments, np.array([first, last], "datetime64[s]").astype(np.int64), side="right")
    return moments[low:high].astype("datetime64[s]"), offsets[low : high + 1]


def standard_offset(zone: str) -> int:
    """Seconds a zone's standard time is ahead of UTC (of 2020, when rules were settled)."""
    offset = zone_of(zone)
    winter = datetime(2020, 1, 15, tzinfo=offset)
    return round(((winter.utcoffset() or timedelta()) - (winter.dst() or timedelta())).total_seconds())


def beyond_standard(second: int, zone: str) -> int:
    """Seconds a zone's clock is ahead of that standard time when it shows a time, in seconds since 1970."""
    wall = np.array([second], "datetime64[s]")
    return int((wall - to_utc(wall, zone))[0].astype(np.int64)) - standard_offset(zone)


def _years(times: Seconds) -> tuple[int, int]:
    """Whole years around some times, so that `_changes` is asked the same again."""
    years = np.array([times.min(), times.max()]).astype("datetime64[Y]").astype(int) + 1970
    return int(years[0]) - 1, int(years[1]) + 2


@lru_cache(maxsize=64)
def _changes(name: str, first: int, last: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Moments at which a zone's offset changes, and the offsets before, between and after.

    `zoneinfo` does not publish its table, so it is asked once a day and then halved
    down to the second; no zone has ever changed twice within a day.
    """
    zone = zone_of(name)
    low = max(datetime(max(first, 1), 1, 1, tzinfo=UTC), _FIRST) if first < _LAST.year else _LAST
    high = min(datetime(min(last, 9999), 1, 1, tzinfo=UTC), _LAST) if last > _FIRST.year else _FIRST

    def offset(second: int) -> int:
        moment = _EPOCH + timedelta(seconds=second)
        return round((moment.astimezone(zone).utcoffset() or timedelta()).total_seconds())

    at, end = _since_epoch(low), _since_epoch(high)
    moments, offsets = [], [offset(at)]
    while at < end:
        then = min(at + _DAY, end)
        if offset(then) != offsets[-1]:
            before, after = at, then
            while after - before > 1:
                middle = (before + after) // 2
                before, after = (middle, after) if offset(middle) == offsets[-1] else (before, middle)
            moments.append(after)
            offsets.append(offset(then))
        at = then
    return np.array(moments, np.int64), np.array(offsets, np.int64)


def _since_epoch(moment: datetime) -> int:
    return int((moment - _EPOCH).total_seconds())
