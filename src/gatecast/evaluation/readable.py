"""Metrics as people read them."""


def percent(percentage: float | None) -> str:
    """A percentage as people read it; None where nothing was observed, or all of it is zero."""
    return "undefined" if percentage is None else f"{percentage:z.1f} %"


def number(value: float) -> str:
    """A number as people read it: four digits of what is small, whole numbers from a thousand on."""
    return f"{value:,.4g}" if abs(value) < 999.95 else f"{value:,.0f}"
