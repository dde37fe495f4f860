"""Public holidays of a country, a part of one, or an exchange, through the `holidays` package."""

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from gatecast.errors import UsageError, some

Days = npt.NDArray[np.datetime64]  # datetime64[D]


@lru_cache(maxsize=256)
def holidays_of(place: str, first: int, last: int) -> Days:
    """The holidays of some years, in order.

    Args:
        place: COUNTRY, COUNTRY-SUBDIVISION or an exchange: DE, DE-BY, XNYS.
        first: first year.
        last: last year.

    Raises:
        UsageError: there is no such place.
    """
    import holidays as library  # noqa: PLC0415 - only where they are asked for

    country, _, subdivision = place.strip().upper().partition("-")
    years = range(first, last + 1)
    financial = country not in library.list_supported_countries() and country in library.list_supported_financial()
    try:
        found = (
            library.financial_holidays(country, years=years)
            if financial
            else library.country_holidays(country, subdiv=subdivision or None, years=years)
        )
    except NotImplementedError:
        parts = library.list_supported_countries().get(country)
        known = f"{country} has {some(parts) or 'no parts'}" if parts is not None else "write DE, US-NY or XNYS"
        raise UsageError(f"no holidays are known of {place!r}: {known}") from None
    return np.array(sorted(found), "datetime64[D]")
