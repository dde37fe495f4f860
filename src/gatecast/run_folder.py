"""The files of a run folder, and how a folder is written: the whole of it, or nothing."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from safetensors import SafetensorError

from gatecast.errors import RunError

MODEL, WEIGHTS, SERIES = "model.json", "model.safetensors", "series.parquet"
CONFIG, MANIFEST, METRICS = "config.toml", "manifest.json", "metrics.json"
HISTORY, TEST, EXAMPLES = "history.jsonl", "test.parquet", "examples.parquet"
INSPECTED, INSPECTION = "inspect", "inspection.json"


@contextmanager
def new_folder(path: Path, overwrite: bool = False, mark: str = MODEL) -> Iterator[Path]:
    """A folder under a temporary name, renamed when it is whole and removed when it is not.

    Args:
        mark: the file that a folder must hold for it to be replaced.

    Raises:
        RunError: there is something at the path already, or the file system refuses.
    """
    if path.exists() and not (overwrite and (path / mark).is_file()):
        hint = " with --run, or replace it with --overwrite" if (path / MODEL).is_file() else ""
        raise RunError(f"{path} is there already: choose another{hint}")
    beside = path.with_name(f".{path.name}.{uuid4().hex[:8]}")
    try:
        beside.mkdir(parents=True)
        yield beside
        old = beside.with_name(f"{beside.name}.old")
        if path.exists():
            os.replace(path, old)
        try:
            os.replace(beside, path)
        except OSError:
            if old.exists():
                os.replace(old, path)
            raise
        shutil.rmtree(old, ignore_errors=True)
    except (OSError, SafetensorError) as error:
        raise RunError(f"{path} could not be written, nothing was left behind: {error}") from None
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def write_json(path: Path, content: object) -> None:
    """JSON with a closing newline; refuses what is not a number."""
    path.write_text(json.dumps(content, indent=2, allow_nan=False) + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """The content of a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))
