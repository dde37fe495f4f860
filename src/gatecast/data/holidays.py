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

    country, _, part = place.strip().partition("-")
    country, years = country.upper(), range(first, last + 1)
    parts = library.list_supported_countries().get(country)
    part = next((known for known in parts or () if known.upper() == part.upper()), part)  # DE-BY, and DE-Augsburg
    financial = parts is None and country in library.list_supported_financial()
    try:
        found = (
            library.financial_holidays(country, years=years)
            if financial
            else library.country_holidays(country, subdiv=part or None, years=years)
        )
    except NotImplementedError:  # so the package says that it knows no such place
        known = f"{country} has {some(parts) or 'no parts'}" if parts is not None else "write DE, US-NY or XNYS"
        raise UsageError(f"no holidays are known of {place!r}: {known}") from None
    return np.array(sorted(found), "datetime64[D]")
