"""libFuzzer, led by coverage, on what reads texts: frequencies, dates, zones, URLs, settings. See `make fuzz-parsers`.

`tests/test_fuzz.py` draws its texts at random; this one looks for those that take a way no text took before.
"""

import os
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["gatecast", "tomllib"]):
    from gatecast.config import Config
    from gatecast.data.dates import Frequency, Grid
    from gatecast.errors import GatecastError
    from gatecast.store import bigquery, duckdb, open_store  # noqa: F401 - they are imported when they are opened

GRIDS = [Grid(Frequency.parse(alias), zone) for alias in ("h", "D", "QE-DEC") for zone in (None, "America/New_York")]
SETTINGS = Path("settings.toml")


def frequency(text: str) -> None:
    found = Frequency.parse(text)
    assert Frequency.parse(str(found)) == found


def date(text: str) -> None:
    for grid in GRIDS:
        step = grid.floor(text)
        assert grid.floor(grid.label(step)) == step


def zone(text: str) -> None:
    Grid(Frequency.parse("D"), text or None)


def url(text: str) -> None:
    if "*" not in text:  # a search of the whole disk is no fault
        open_store(text).close()


def settings(text: str) -> None:
    SETTINGS.write_text(text, encoding="utf-8", errors="replace")
    config = Config.from_toml(SETTINGS)
    SETTINGS.write_text(config.to_toml(), encoding="utf-8")
    assert Config.from_toml(SETTINGS) == config


PARSERS: dict[str, tuple[Callable[[str], None], list[str]]] = {
    "frequency": (frequency, ["15min", "2W-MON", "h+900s", "QE-JAN", "3cbh", "SME", "CBMS", "HOURLY"]),
    "date": (date, ["2024-02-29", "2024-11-03T01:00:00.5-05:00", "20240701T14", "2024-W09-4", "0001-01-01Z"]),
    "zone": (zone, ["Europe/Berlin", "+05:30", "UTC"]),
    "url": (url, ["bigquery://project/set", "duckdb:a.duckdb", "duckdb:", "a.csv.gz", "rows.parquet", "s3://a/b.json"]),
    "settings": (settings, ["[source]\nurl = 'a.csv'\nseries = ['x']\n[forecast]\nhorizon = 3\nlevel = [80.0, 95]\n"]),
}
"""Each parser, and texts to begin with."""


def main() -> None:
    """`python tests/fuzz_parsers.py PARSER [options of libFuzzer]`."""
    parser, seeds = PARSERS[sys.argv.pop(1)]

    def one(data: bytes) -> None:
        with suppress(GatecastError):
            parser(data.decode(errors="surrogateescape"))

    os.environ["GOOGLE_APPLICATION_CREDENTIALS"] = "/nowhere"
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        Path("seeds").mkdir()
        for number, text in enumerate(seeds):
            Path("seeds", str(number)).write_text(text)
        atheris.Setup([*sys.argv, "seeds"], one)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
