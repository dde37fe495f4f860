"""The provenance of a run, `manifest.json`, and `fit --from RUN`, which repeats it."""

import hashlib
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from gatecast.config import Config
from gatecast.data.covariates import Covariates
from gatecast.data.panel import Panel
from gatecast.errors import DataError, UsageError, some
from gatecast.model import Model
from gatecast.reading import Rows
from gatecast.training import Trained

TIMES = {"date": "days", "local": "times without a zone", "instant": "times with a zone"}
PACKAGES = ("gatecast", "torch", "numpy", "pyarrow", "duckdb")


def manifest(
    rows: Rows, device: torch.device, durations: Mapping[str, float], trained: Sequence[Trained]
) -> dict[str, Any]:
    """All that is needed to say where a run came from, and to repeat it.

    Args:
        trained: how training of the tested weights went, and that of the final ones, if there are others.
    """
    assert rows.audit
    hurried = any(stage.hurried for stage in trained)
    return {
        "run_id": rows.run_id,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "query": rows.sql,
        "query_sha256": hashlib.sha256(rows.sql.encode()).hexdigest() if rows.sql else None,
        "snapshot_time": rows.read_at,
        "rows_sha256": digest(rows.panel),
        "bytes_billed": rows.bytes_billed,
        "audit": rows.audit.to_dict(),
        "training": {"best": trained[0].best, "ended": trained[0].ended, "hurried": hurried},
        "seed": rows.config.training.seed,
        "device": str(device),
        "threads": torch.get_num_threads(),
        "durations": dict(durations),
        "versions": {"python": platform.python_version()} | {name: version(name) for name in PACKAGES},
    }


@dataclass(frozen=True)
class Repeat:
    """The settings of a run to repeat, and what shows whether rows are those that it read."""

    run: Path
    config: Config
    audit: Mapping[str, Any]
    digest: str | None  # None: the store keeps its past, and is asked for it
    types: Mapping[str, str]  # of the columns that name series and times
    replaced: Sequence[str] = ()  # settings of the source and the grid that are not the run's

    def refuse_others(self, rows: Rows) -> None:
        """Refuse rows other than those the run read.

        Raises:
            UsageError: settings that differ from the run's make other rows of them.
            DataError: these are other rows.
        """
        if self.digest is None or digest(rows.panel) == self.digest:
            return
        if self.replaced:
            raise UsageError(
                f"{self.run} has read other rows, with another {some(self.replaced)}: leave that as it was, or "
                f"give it to gatecast fit {self.run / 'config.toml'}, which is not bound to the rows of the run"
            )
        assert rows.audit
        then, now = (
            f"{audit['rows']:,} from {audit['first']} to {audit['last']}" for audit in (self.audit, vars(rows.audit))
        )
        types = _types(rows.panel, rows.config)
        changed = (
            f"with {types[name]} for {was} in {name!r}" for name, was in self.types.items() if types[name] != was
        )
        raise DataError(
            f"the rows that {self.run} has read are not there as they were: {then} then, "
            f"{now if now != then else 'as many but ' + (some(changed) or 'others')} now; "
            f"gatecast fit {self.run / 'config.toml'} takes those that are there"
        )


def repeat(run: str | Path, options: Mapping[str, Any]) -> Repeat:
    """What it takes to repeat a run: its settings, some of them replaced, and a check of its rows.

    Raises:
        RunError: there is no such run.
        UsageError: it was not read from a URL.
    """
    model = Model.load(run)
    written, source = model.evidence.get("manifest", {}), model.config.source
    if not source.url or "rows_sha256" not in written:
        raise UsageError(f"{run} does not say which rows it has read: it was not made by fit from a path or URL")
    # A query's own time travel pins nothing, nor is all pinned that is read from a second table.
    alone = source.sql is None and source.future_table is None
    pinned = alone and source.url.startswith("bigquery:") and "FOR SYSTEM_TIME AS OF" in (written["query"] or "")
    snapshot = {"snapshot": written["snapshot_time"]} if pinned else {}
    config = Config.from_options(model.config, snapshot | dict(options))
    then, now = ({**dict(each.source), **dict(each.grid)} for each in (model.config, config))
    replaced = [name for name in now if now[name] != then[name]]
    told = None if pinned else written["rows_sha256"]
    return Repeat(Path(run), config, written["audit"], told, _types(model, model.config), replaced)


def _types(rows: Panel | Model, config: Config) -> dict[str, str]:
    """What the columns hold that name series and times."""
    return {field.name: str(field.type) for field in rows.keys.schema} | {config.source.time: TIMES[rows.kind]}


def digest(panel: Panel) -> str:
    """A checksum of rows: series, steps and values, those of covariates too."""
    found = hashlib.sha256(repr((str(panel.grid), panel.kind, panel.keys.to_pydict())).encode())
    for part in (panel.values, panel.offsets, panel.starts):
        found.update(np.ascontiguousarray(part).data)
    if panel.covariates is not None:
        found.update(panel.covariates.offsets.data)
        for name in (*panel.covariates.varying, *panel.covariates.fixed):
            found.update(_ranked(panel.covariates, name).data)
    return found.hexdigest()


def _ranked(covariates: Covariates, name: str) -> npt.NDArray[Any]:
    """A column whose categories are numbered in the order of their names, not of their arrival."""
    values = covariates.column(name).copy()
    if texts := covariates.categories.get(name):
        there = ~np.isnan(values)
        values[there] = np.argsort(np.argsort(texts))[values[there].astype(np.int64)]
    return values
