"""Frequencies drawn at random, by the unit they count."""

from hypothesis import strategies as st

from gatecast.data.frequency import DAY, HOUR, Frequency

ROUND = [1, 30, 60, 900, 1_800, HOUR, 5_400, 2 * HOUR, 4 * HOUR, 12 * HOUR]


def any_phase(unit, multiples, end=False, days=""):
    return multiples.flatmap(lambda n: st.integers(0, n - 1).map(lambda phase: Frequency(unit, n, phase, end, days)))


FREQUENCIES = {
    "seconds": any_phase("second", st.sampled_from(ROUND) | st.integers(1, 200_000).filter(lambda n: n % DAY)),
    "days": any_phase("day", st.integers(1, 60)),
    "business days": any_phase("business day", st.integers(1, 20), days="B"),
    "days of a calendar": any_phase("business day", st.integers(1, 20), days="C"),
    "business hours": any_phase("business hour", st.integers(1, 30), days="B"),
    "business hours of a calendar": any_phase("business hour", st.integers(1, 30), days="C"),
    "half months": any_phase("half month", st.integers(1, 9)),
    "half months by their end": any_phase("half month", st.integers(1, 9), end=True),
    "months": any_phase("month", st.integers(1, 40)),
    "months by their end": any_phase("month", st.integers(1, 40), end=True),
    "months by their first weekday": any_phase("month", st.integers(1, 40), days="B"),
    "months by their last day of a calendar": any_phase("month", st.integers(1, 40), end=True, days="C"),
}
