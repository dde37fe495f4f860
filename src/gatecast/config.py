"""All settings of a run, frozen, the same in Python, on the command line and in a TOML file."""

import tomllib
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Self

import tomli_w
from pydantic import ValidationError

from gatecast.errors import UsageError, explained
from gatecast.settings import (
    Alignment,
    ForecastSettings,
    GridSettings,
    ModelSettings,
    Settings,
    SourceSettings,
    TrainingSettings,
)


class Config(Settings):
    """All settings of a run.

    Raises:
        UsageError: naming every setting that is wrong.
    """

    source: SourceSettings = SourceSettings()
    grid: GridSettings = GridSettings()
    forecast: ForecastSettings = ForecastSettings()
    model: ModelSettings = ModelSettings()
    training: TrainingSettings = TrainingSettings()

    def __init__(self, /, **tables: Settings | Mapping[str, Any]) -> None:
        try:
            super().__init__(**tables)
        except ValidationError as error:
            raise UsageError(explained(error, meant)) from error

    @classmethod
    def from_options(cls, source: object, options: Mapping[str, Any]) -> Self:
        """Settings by their bare names, put over those of a `Config`; a source that is a URL or a path is a setting."""
        tables = merged(source.model_dump(exclude_unset=True) if isinstance(source, Config) else {}, options)
        if isinstance(source, str | Path):
            tables.setdefault("source", {})["url"] = str(source)
        return cls(**tables)

    @classmethod
    def from_toml(cls, path: str | Path) -> Self:
        """Settings from a TOML file."""
        return cls(**read_toml(path))

    @property
    def alignment(self) -> Alignment:
        """See `GridSettings.alignment`."""
        return self.grid.alignment(self.source.target)

    def to_toml(self) -> str:
        """The settings as TOML, without those that are not given; `from_toml` reads them back."""
        absent = {} if self.forecast.horizon else {"forecast": {"horizon"}}
        return tomli_w.dumps(self.model_dump(mode="json", exclude_none=True, exclude=absent))

    def having(self, table: str, /, **settings: object) -> Self:
        """A copy with some settings of one table replaced."""
        return self.model_copy(update={table: getattr(self, table).model_copy(update=settings)})


# pydantic types an annotation as anything or none; each of these is a table.
TABLES: dict[str, type[Settings]] = {name: field.annotation for name, field in Config.model_fields.items()}  # type: ignore[misc]
TABLE_OF = {name: table for table, kind in TABLES.items() for name in kind.model_fields}
"""The table of each setting, by its bare name."""


def _nearest(name: str, names: Iterable[str]) -> list[str]:
    """The name most like one that there is not, if any is."""
    return get_close_matches(name.replace("-", "_"), names, 1)


def meant(name: str) -> str:
    """Table and name of the setting that may be meant by a name, or the table; itself if none is near."""
    near = _nearest(name, [*TABLE_OF, *TABLES])
    return name if not near else f"{TABLE_OF[near[0]]}.{near[0]}" if near[0] in TABLE_OF else near[0]


def merged(tables: Mapping[str, Mapping[str, Any]], options: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Tables of settings, updated with options by their bare names; None means not given.

    Raises:
        UsageError: there is no setting of that name.
    """
    result = {name: dict(table) for name, table in tables.items()}
    for name, value in options.items():
        if name not in TABLE_OF:
            near = _nearest(name, TABLE_OF)
            there = f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(TABLE_OF))}"
            raise UsageError(f"no setting is called {name!r}; {there}")
        if value is not None:
            result.setdefault(TABLE_OF[name], {})[name] = value
    return result


def read_toml(path: str | Path) -> dict[str, dict[str, Any]]:
    """The tables of a TOML settings file, not yet checked.

    Raises:
        UsageError: the file is missing, not TOML, or has a setting outside the tables.
    """
    try:
        tables = tomllib.loads(Path(path).read_text(encoding="utf-8-sig"))  # as Windows writes it, too
    except FileNotFoundError:
        raise UsageError(f"no settings file at {path}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f"{path} cannot be read as TOML: {error}") from None
    loose = [name for name, table in tables.items() if not isinstance(table, dict)]
    if loose:
        raise UsageError(f'{loose[0]}: a setting of {path} belongs in a table, as url = "sales.csv" under [source]')
    return tables
