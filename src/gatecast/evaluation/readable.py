"""Metrics as people read them."""


def percent(percentage: float | None) -> str:
    """A percentage as people read it; None where nothing was observed, or all of it is zero."""
    return "undefined" if percentage is None else f"{percentage:z.1f} %"


def number(value: float) -> str:
    """A number as people read it: four digits of what is small, whole numbers from a thousand on.

    From a thousand million million on their digits are more than a float holds.
    """
    return f"{value:,.0f}" if 999.95 <= abs(value) < 1e15 else f"{value:,.4g}"
