"""How a covariate becomes numbers that a network reads.

Numbers are standardised on training rows; a category is one of those known from training, or none of them.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np

from gatecast.data.arrays import Flags, Values
from gatecast.data.covariates import NUMBERS, TEXTS, Covariates
from gatecast.errors import DataError, plural, some

Role = Literal["static", "past", "future", "series"]

MAX_CATEGORIES = 64
"""Most categories of a past or future column that a network distinguishes; the most frequent ones."""


@dataclass(frozen=True)
class Column:
    """How a column becomes features: a number standardised, a category as one of those known.

    Attributes:
        categories: those known, the others are none of them; None for a number.
    """

    name: str
    role: Role
    loc: float = 0.0
    scale: float = 1.0
    categories: tuple[str, ...] | None = None

    @property
    def width(self) -> int:
        """Features of a varying column: a number, or a mark for each category."""
        return 1 if self.categories is None else len(self.categories)

    def read(self, covariates: Covariates) -> Values:
        """Its values as the network counts them: standardised, or 1, 2, ... for the categories; NaN if missing.

        A category that is not known is 0.

        Raises:
            DataError: it holds texts where training met numbers, or numbers where it met texts.
        """
        values = covariates.column(self.name)
        now, then = (
            NUMBERS if part is None else TEXTS for part in (covariates.categories.get(self.name), self.categories)
        )
        if now != then and not np.isnan(values).all():
            raise DataError(
                f"column {self.name!r} holds {now}, and held {then} when the model was trained: cast it in --sql"
            )
        if self.categories is None:
            return np.asarray((values - self.loc) / self.scale, np.float32)
        known = {text: number for number, text in enumerate(self.categories, 1)}
        own = [known.get(text, 0) for text in covariates.categories.get(self.name, ())]
        table = np.array([*own, np.nan], np.float32)
        return table[np.where(np.isnan(values), len(own), values).astype(np.int64)]

    @classmethod
    def fit(cls, name: str, role: Role, covariates: Covariates, rows: Flags) -> Self:
        """Mean and standard deviation of a number over some rows; categories of all rows, the most frequent first.

        A constant has no deviation and is measured by its level: from 1,999 to 2,199 a price moves by a tenth.
        """
        values = covariates.column(name)
        if name in covariates.categories:
            counts = Counter(values[~np.isnan(values)].astype(int).tolist())
            most = None if role == "static" else MAX_CATEGORIES
            return cls(
                name, role, categories=tuple(covariates.categories[name][i] for i, _ in counts.most_common(most))
            )
        values = values[rows & ~np.isnan(values)].astype(np.float64)
        if not values.size:
            return cls(name, role)
        mean = float(values.mean())
        return cls(name, role, mean, float(values.std()) or abs(mean) or 1.0)

    @classmethod
    def of(cls, about: Mapping[str, Any]) -> Self:
        """From what `asdict` gave."""
        categories = about["categories"]
        return cls(**dict(about) | {"categories": None if categories is None else tuple(categories)})


def unknown(columns: Sequence[Column], covariates: Covariates) -> list[str]:
    """A line for each column with categories that are not known from training."""
    lines = []
    for column in columns:
        if column.categories is None or column.role == "series":
            continue
        count = int((column.read(covariates) == 0).sum())
        if count:
            known = set(column.categories)  # of a static column there may be as many as series
            new = [text for text in covariates.categories[column.name] if text not in known]
            apart = f"{plural(count, 'value')} of categories that training did not tell apart"
            lines.append(f"column {column.name!r}: {apart} ({some(new)})")
    return lines
