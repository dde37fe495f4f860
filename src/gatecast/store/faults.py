"""What an audit looks for: each kind of fault once, how it is found and how it is told."""

from collections.abc import Mapping
from dataclasses import dataclass

JUMP, FLAT, TAIL, RARE = 15, 5, 10, 3
"""Times a usual change that make an outlier, times a usual run and steps that make a flat tail, standard deviations
that hardly any step has fewer rows by."""
SUMS, DIGITS = 1e-12, 1e-5
"""Shares of a level: by the first, at most, sums of equal values differ; the second holds about a hundred numbers of 32
bits."""
FEW, QUARTER = 3, 900_000_000
"""Steps that say nothing of the time of day, and microseconds of a quarter of an hour, in which zones differ."""
ODD_MIDNIGHTS = (10, 14, 38, 41, 45, 54, 58, 61, 70, 73, 74, 78, 82)
"""Quarters of an hour after midnight in UTC at which some zone has its own, beside whole hours, which all are one."""
_ONE = {"s": "", "are": "is", "end": "ends", "vary": "varies", "their": "its"}
"""What stands for the marks in the name of a fault where there is one; they themselves stand for many."""


@dataclass(frozen=True)
class Fault:
    """A kind of fault: the first four are SQL for `audit_query`, the others texts for `data.audit`.

    Attributes:
        relation: one of those of the query, in which it is looked for.
        condition: when a row of it has the fault.
        step: at which step; NULL for a series as a whole.
        size: how much of it is there.
        called: what it is called, with marks for what differs between one and many.
        done: what `fit` does about it.
        option: the setting that decides otherwise.
        where: how the step relates to it.
        usual: SQL for how many rows there usually are, where the size is of rows.
        summed: sizes add up to its count; else the places are counted.
    """

    relation: str
    condition: str
    step: str
    size: str
    called: str
    done: str
    option: str = ""
    where: str = "at"
    usual: str = "NULL"
    summed: bool = False

    @property
    def name(self) -> str:
        """What several of them are called."""
        return self.called.format(**{word: word for word in _ONE})


# fmt: off
FAULTS: Mapping[str, Fault] = {
    "no_time": Fault(
        "marks", "step IS NULL", "NULL", "row_count",
        "row{s} without a time", "left out", "sql", summed=True,
    ),
    "shared": Fault(
        "marks", "step IS NOT NULL AND row_count > 1", "step", "row_count - 1",
        "row{s} on a step that another row has", "brought together ({aggregate})", "aggregate", summed=True,
    ),
    "no_value": Fault(
        "marks", "step IS NOT NULL AND value IS NULL AND known + COALESCE(nans + infinite, 0) = 0", "step", "1",
        "step{s} without a value", "treated as missing", summed=True,
    ),
    "not_a_number": Fault(
        "marks", "nans > 0", "step", "nans",
        "value{s} that {are} not a number", "treated as missing", summed=True,
    ),
    "infinite": Fault(
        "marks", "infinite > 0", "step", "infinite",
        "infinite value{s}", "fit stops: filter or repair them", "sql", summed=True,
    ),
    "skipped": Fault(
        "marks", "skipped > 0", "step", "skipped",
        "local time{s} that clocks skip", "taken to be as much later as the clock was moved", summed=True,
    ),
    "twice": Fault(
        "marks", "twice > 0", "step", "twice",
        "local time{s} that clocks show twice", "taken to be the first of the two", summed=True,
    ),
    "placed": Fault(
        "series",
        f"observed > {FEW} AND late > 0 AND clocks <= 2 AND 2 * apart < observed AND MOD(early, {QUARTER}) = 0 AND "
        f"MOD(late, {QUARTER}) = 0 AND (late - early) / {QUARTER} IN (2, 4, 92, 94)",  # summer's 30 or 60 minutes
        "first", "1",
        "series whose times look like midnight in another zone than UTC",
        "each row counts to its day in UTC, which may be the day before: name the zone with --timezone",
        "timezone", where="from",
    ),
    "fixed": Fault(
        "series",
        f"observed > {FEW} AND early > 0 AND late = early AND "
        f"(MOD(early, {4 * QUARTER}) = 0 OR early / {QUARTER} IN {ODD_MIDNIGHTS})",
        "first", "1",
        "series whose time of day, always the same, may be midnight in another zone than UTC",
        "each row counts to its day in UTC; if it is midnight elsewhere, name the zone with --timezone",
        where="from",
    ),
    "gap": Fault(
        "marks", "value IS NOT NULL AND step - before > 1", "before + 1", "step - before - 1",
        "missing step{s}", "{filled} ({gaps}, the longest {longest}){holidays}", "fill", where="from", summed=True,
    ),
    "century": Fault(
        "marks", "value IS NOT NULL AND step - before > {century}", "step", "1",
        "date{s} more than a century after the one before", "fit stops: leave the wrong ones out", "until",
    ),
    "negative": Fault(
        "marks", "value < 0", "step", "1",
        "negative value{s}", "kept", summed=True,
    ),
    "outlier": Fault(
        "marks",
        f"(value - low) * (value - next) > 0 AND LEAST(ABS(value - low), ABS(value - next)) > {JUMP} * usual",
        "step", "1",
        "outlier{s}", "kept",
    ),
    "shift": Fault(
        "blocks", "shifted AND NOT COALESCE(was_shifted, FALSE)", "IF(next_jump > jump, next_place, place)", "1",
        "level shift{s}", "kept",
    ),
    "bare": Fault(
        "marks", "value IS NOT NULL AND bare > 0", "step", "1",
        "step{s} without a past or future covariate", "taken as the mean of their context", summed=True,
    ),
    "ahead": Fault(
        "series", "unknown <= last + {ahead}", "unknown", "1",
        "series whose future covariates are missing within the horizon",
        "kept; a forecast that needs the missing values stops: add them, in rows without a target or a --future-table",
        "future_table", where="from",
    ),
    "partial": Fault(
        "series", f"newest_rows < GREATEST(fewest, common - {RARE} * spread)", "last", "newest_rows",
        "last step{s} with fewer rows than usual",
        "kept; if not over yet, leave out with --until {newest}, or by --sql in a nightly job", usual="ROUND(common)",
    ),
    "empty": Fault(
        "series", "observed = 0", "NULL", "1",
        "series without any value", "left out", "sql",
    ),
    "constant": Fault(
        "series", "least = most AND observed > 1", "NULL", "1",
        "constant series", "kept",
    ),
    "level": Fault(
        "series",
        f"most - least > {SUMS} * GREATEST(most, -least) AND most - least < {DIGITS} * GREATEST(most, -least)",
        "NULL", "1",
        "series that {vary} by less than a hundred-thousandth of {their} level",
        "rounded to seven digits, which leaves little of that: subtract a constant with --sql", "sql",
    ),
    "flat": Fault(
        "series", f"last - changed + 1 >= GREATEST({TAIL}, {FLAT} * observed / (changes + 1))", "changed",
        "last - changed + 1",
        "series that {end} flat", "kept", where="from",
    ),
    "zeros": Fault(
        "series", "2 * (zeros + {absent}) > observed + {absent} AND least < most", "NULL", "1",
        "series that {are} mostly zero", "kept",
    ),
    "short": Fault(
        "series", "last - first + 1 <= {short}", "NULL", "1",
        "series too short to learn from", "{then}: {needed:,} steps are needed",
    ),
    "stale": Fault(
        "series", "last < newest - {stale}", "last", "newest - last",
        "series that {end} before the others", "{ends}", "align", where="ends",
    ),
}
# fmt: on
_CALLED = {fault.name: fault.called for fault in FAULTS.values()}


def counted(count: int, name: str) -> str:
    """How many there are of a fault, by its name: `1 level shift`, `2,000 missing steps`."""
    return f"{count:,} {_CALLED.get(name, name).format(**_ONE) if count == 1 else name}"
