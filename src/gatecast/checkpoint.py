"""Checkpoints: files of tensors and facts, each complete or absent, the newest two of a kind kept.

The name of a file is its kind, its number and the digest of its content, so that a torn one is
recognised. Tensors are safetensors, facts are JSON in their header; nothing is a pickle.
"""

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from gatecast.memory import available
from gatecast.seal import put

KEPT = 2
"""Files of a kind: should the newest be torn, there is the one before it."""
DIGITS = 16
"""Of a digest, as part of a name."""

Content = tuple[dict[str, Tensor], dict[str, Any]]
"""Tensors and facts."""


class Checkpoints:
    """A folder of checkpoints; without a folder nothing is kept.

    Args:
        note: is called when a checkpoint cannot be written or read.
    """

    def __init__(self, folder: Path | None = None, note: Callable[[str], None] = lambda _: None) -> None:
        self.folder, self.note = folder, note
        self.every, self.written = 0.0, time.monotonic()  # seconds between two while training goes on

    @property
    def due(self) -> bool:
        """Whether it is time for the next one."""
        return self.folder is not None and time.monotonic() - self.written >= self.every

    def write(self, kind: str, number: int, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
        """Write a checkpoint and delete all of its kind but the newest two; a failure is noted, not raised."""
        if self.folder is None:
            return
        parts = {name: part.detach().cpu().contiguous() for name, part in tensors.items()}
        content = save(parts, {"facts": json.dumps(facts)})
        name = f"{kind}-{number:08d}-{_digest(content)}.safetensors"
        try:
            self.folder.mkdir(exist_ok=True)
            put(self.folder / name, content)
            for old in self.files(kind)[KEPT:]:
                old.unlink()
        except OSError as error:
            self.note(f"a checkpoint could not be written ({error}): training goes on, the one before it is kept")
        self.written = time.monotonic()

    def newest(self, kind: str) -> Content | None:
        """The newest intact checkpoint of a kind; None if there is none."""
        for path in self.files(kind):
            with suppress(OSError, ValueError, LookupError, SafetensorError):
                return _read(path)
            self.note(f"checkpoint {path.name} is not as it was written: going back to the one before it")
            path.unlink(missing_ok=True)
        return None

    def files(self, kind: str) -> list[Path]:
        """The files of a kind, the newest first."""
        return sorted(self.folder.glob(f"{kind}-*.safetensors"), reverse=True) if self.folder else []


NOWHERE = Checkpoints()
"""Keeps nothing."""


def under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin with a prefix, by what follows it."""
    return {name.removeprefix(prefix): part for name, part in tensors.items() if name.startswith(prefix)}


def _read(path: Path) -> Content:
    room = available()
    if (room is not None and path.stat().st_size > room) or _digest(path.read_bytes()) != path.stem[-DIGITS:]:
        raise ValueError("torn")
    with safe_open(path, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - the file itself gives no names
        return tensors, json.loads(file.metadata()["facts"])


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:DIGITS]
