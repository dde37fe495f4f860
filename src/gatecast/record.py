"""What a run folder says of its own making: refused where it has another shape than `fit` gives it."""

import json
from collections.abc import Mapping, Set
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from gatecast import run_folder as files
from gatecast.errors import explained
from gatecast.seal import read_json, read_text, write_json


class Audit(BaseModel):
    """The rows that were read."""

    rows: int
    first: str
    last: str


class Training(BaseModel):
    """How training ended."""

    best: int


class Manifest(BaseModel):
    """What `test` and `fit --from` use of `manifest.json`."""

    query: str | None
    snapshot_time: str | None
    rows_sha256: str = ""  # older runs do not say
    audit: Audit
    training: Training


class Epoch(BaseModel):
    """What the verdict uses of a line of `history.jsonl`."""

    stage: str
    train_loss: float
    validation_loss: float | None


class Record(BaseModel):
    """The parts that are there."""

    manifest: Manifest | None = None
    metrics: dict[str, Any] | None = None
    history: list[Epoch] = []


def write_record(folder: Path, evidence: Mapping[str, Any]) -> None:
    """Write the manifest, the metrics and the history of a run."""
    write_json(folder / files.MANIFEST, evidence["manifest"])
    write_json(folder / files.METRICS, evidence["metrics"])
    lines = (json.dumps(line) + "\n" for line in evidence["history"])
    (folder / files.HISTORY).write_text("".join(lines), encoding="utf-8")


def read_record(folder: Path, there: Set[str]) -> dict[str, Any]:
    """The manifest, the metrics and the history of a run, as far as they are among the files there.

    Raises:
        ValueError: one has another shape.
    """
    found = {Path(name).stem: read_json(folder / name) for name in (files.MANIFEST, files.METRICS) if name in there}
    if files.HISTORY in there:
        found["history"] = [json.loads(line) for line in read_text(folder / files.HISTORY).splitlines()]
    try:
        Record.model_validate(found, strict=True)
    except ValidationError as error:
        raise ValueError(explained(error)) from None
    return found
