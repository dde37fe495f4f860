"""How a query makes numbers or times of a column of texts, for messages that refuse the column as it is."""

import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime

from sqlglot import exp

from gatecast.store import Dialect
from gatecast.store.sql import sql

_DAYS = ("%d.%m.%Y", "%d.%m.%y", "%m/%d/%Y", "%d/%m/%Y", "%m/%d/%y", "%d/%m/%y", "%m-%d-%Y", "%d-%m-%Y", "%Y-%m-%d")
_HOURS = ("", " %H:%M", " %H:%M:%S", " %I:%M %p", " %I:%M:%S %p")
FORMATS = (
    *(day + hour for day in _DAYS for hour in _HOURS),
    *("%d-%b-%y", "%d-%b-%Y", "%b %d %Y", "%d %b %Y", "%b %Y", "%B %Y", "%b-%y", "%b-%Y"),
    *("%Y", "%Y-%m", "%Y%m", "%Y%m%d", "%Y%m%d%H", "%Y%m%d%H%M", "%Y%m%d%H%M%S"),
)
"""How people write dates and times beside the way that is read as it is."""


_NUMBER, _TIMES = r"-?\d[\d.,]*(?:[ \u00a0\u202f']\d{3}[\d.,]*)*", r"\s*[kmb](?:n|ln|io)?\b"
_WITH_UNIT = re.compile(rf"[^\d(.,-]*({_NUMBER})(?!{_TIMES})[^\d).,-]*", re.IGNORECASE)
"""A number, and what may stand before and after it: `$ 1,234.50`, `100 EUR`, but not `3k`, `(100)` or `10:30`."""


def number_sql(name: str, text: str, dialect: Dialect) -> str:
    """How a query makes numbers of a column of texts, such as one of them.

    Returns:
        Both ways where it may mean two, as 1,234; empty if nobody knows.
    """

    def select(digits: str) -> str:
        number = sql(f"SAFE_CAST({digits} AS FLOAT64)", c=exp.column(name))
        return f'"SELECT * REPLACE ({exp.alias_(number, name).sql(dialect)}) FROM ..."'

    if re.fullmatch(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*", text):
        return select("c")
    points, commas = "REPLACE(c, ',', '')", "REPLACE(REPLACE(c, '.', ''), ',', '.')"  # which of them begin a fraction
    if (inner := _WITH_UNIT.fullmatch(text)) and not re.fullmatch(r"[\d.,-]+", text):
        text = re.sub(r"[^\d.,-]", "", inner[1])
        points, commas = (f"REGEXP_REPLACE(c, '[^0-9{mark}-]', '')" for mark in ".,")
        commas = f"REPLACE({commas}, ',', '.')"
    if re.fullmatch(r"-?\d{1,3},\d{3}", text):  # 1,234
        return f"{select(points)} if commas separate thousands, or {select(commas)} if they are decimal points"
    if re.fullmatch(r"-?\d{1,3}\.\d{3}", text):  # 1.234, with a unit
        return f"{select(points)} if points are decimal points, or {select(commas)} if they separate thousands"
    if re.fullmatch(r"-?(\d+|\d{1,3}(,\d{3})+)(\.\d*)?", text):  # 1,234.5
        return select(points)
    if re.fullmatch(r"-?(\d[\d.]*)?,\d*|-?\d{1,3}(\.\d{3})+", text):  # 1.234,5
        return select(commas)
    return "" if re.search(r"\d", text) else select("c")  # marks of what is missing, as n/a, become just that


def time_sql(name: str, examples: Sequence[object], dialect: Dialect) -> str:
    """How a query makes timestamps of a column of texts or numbers, such as some of them.

    Returns:
        Both ways where they may mean two, as 1/2/2024; empty if nobody knows.
    """
    texts, written = [str(example).strip() for example in examples], exp.column(name)
    if all(re.search(r":.*(Z| UTC|[+-]\d\d(:?\d\d)?)$", text) for text in texts):
        return exp.cast(written, "TIMESTAMPTZ").sql(dialect)
    text_of = written if isinstance(examples[0], str) else exp.cast(written, "TEXT")
    forms = [form for form in FORMATS if all(_fits(text, form) for text in texts)]  # two if day or month may come first
    times = (exp.StrToTime(this=text_of.copy(), format=exp.Literal.string(form)) for form in forms)
    return " or ".join(time.sql(dialect) for time in times)


def _fits(text: str, form: str) -> bool:
    """Whether a text is a time in a form; of digits alone none may be left out."""
    with suppress(ValueError):
        return datetime.strptime(text, form).strftime(form) == text or not text.isdigit()
    return False
