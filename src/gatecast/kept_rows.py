"""The rows of a training, kept beside its checkpoints: it goes on with them, whatever the source holds by then."""

from importlib.metadata import version
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from torch import Tensor

from gatecast.checkpoint import Checkpoints
from gatecast.config import Config
from gatecast.data.audit import Audit, Finding
from gatecast.data.covariates import Covariates
from gatecast.data.dates import Grid
from gatecast.data.frequency import Frequency
from gatecast.data.panel import Panel
from gatecast.data.rows import Reading
from gatecast.errors import RunError
from gatecast.reading import Rows

KIND = "rows"


def keep(rows: Rows, checkpoints: Checkpoints) -> None:
    """Write rows down, and from now on checkpoints as often as their settings say."""
    checkpoints.every = rows.config.training.checkpoint_every
    panel, found = rows.panel, rows.panel.covariates
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, panel.keys.schema) as writer:
        writer.write_table(panel.keys)
    arrays: dict[str, npt.NDArray[Any]] = {
        "keys": np.frombuffer(sink.getvalue(), np.uint8).copy(),
        "values": panel.values,
        "offsets": panel.offsets,
        "starts": panel.starts,
        "hollow": panel.reading.hollow,
    }
    if panel.filled is not None:
        arrays["filled"] = panel.filled
    if found is not None:
        arrays |= {"beside": found.values, "beside_offsets": found.offsets, "statics": found.statics}
    facts = {
        "made_by": _made_by(),
        "config": rows.config.model_dump(mode="json", exclude_none=True),
        "grid": [str(panel.grid.frequency), panel.grid.timezone, panel.grid.holidays],
        "kind": panel.kind,
        "rule": panel.rule,
        "rows": panel.reading.rows,
        "beside": found and [found.varying, found.past, found.fixed, dict(found.categories)],
        "audit": rows.audit and rows.audit.to_dict(),
        "read": [rows.stale, rows.sql, rows.read_at, rows.bytes_billed, rows.run_id, rows.seconds],
    }
    checkpoints.write(KIND, 0, {name: torch.from_numpy(part) for name, part in arrays.items()}, facts)
    if checkpoints.folder and not checkpoints.files(KIND):
        checkpoints.folder = None  # without its rows no training is resumed
        checkpoints.note("its rows could not be kept: this training cannot be resumed if it is stopped")


def kept(checkpoints: Checkpoints) -> Rows:
    """The rows that were written down; see `keep`.

    Raises:
        RunError: there are none, or another version wrote them.
    """
    found = checkpoints.newest(KIND)
    if found is None:
        raise RunError("the stopped training has kept no rows: start it again without --resume")
    tensors, facts = found
    if facts["made_by"]["gatecast"] != version("gatecast"):
        began, here = facts["made_by"]["gatecast"], version("gatecast")
        raise RunError(f"its training was started by Gatecast {began}, and this is {here}: finish it with {began}")
    if facts["made_by"] != _made_by():
        checkpoints.note(f"begun with {facts['made_by']}, resumed with {_made_by()}: the last bits may differ")
    stale, *read = facts["read"]
    findings = tuple(Finding(**part | {"places": tuple(part["places"])}) for part in facts["audit"]["findings"])
    audit, config = Audit(**facts["audit"] | {"findings": findings}), Config(**facts["config"])
    checkpoints.every = config.training.checkpoint_every
    return Rows(_panel(tensors, facts), config, audit, tuple(stale), *read)


def _panel(tensors: dict[str, Tensor], facts: dict[str, Any]) -> Panel:
    parts = {name: part.numpy() for name, part in tensors.items()}
    frequency, *rest = facts["grid"]
    beside = None
    if facts["beside"] is not None:
        varying, past, fixed, categories = facts["beside"]
        known = {name: tuple(texts) for name, texts in categories.items()}
        values, offsets, statics = (parts[name] for name in ("beside", "beside_offsets", "statics"))
        beside = Covariates(tuple(varying), tuple(past), values, offsets, tuple(fixed), statics, known)
    return Panel(
        grid=Grid(Frequency.parse(frequency), *rest),
        keys=pa.ipc.open_stream(pa.py_buffer(parts["keys"])).read_all(),
        values=parts["values"],
        offsets=parts["offsets"],
        starts=parts["starts"],
        kind=facts["kind"],
        reading=Reading(facts["rows"], parts["hollow"]),
        covariates=beside,
        filled=parts.get("filled"),
        rule=tuple(facts["rule"]),
    )


def _made_by() -> dict[str, Any]:
    """What the last bits of the weights depend on, beside the rows and the settings."""
    return {"gatecast": version("gatecast"), "torch": version("torch"), "threads": torch.get_num_threads()}
