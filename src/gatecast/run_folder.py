"""The files of a run folder, and how a folder is written: wholly, or not at all."""

import glob
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from shlex import quote
from typing import IO, TypeVar
from uuid import uuid4

from gatecast.errors import GatecastError, RunError, refuse_not_utf8
from gatecast.seal import is_plain, seal

MODEL, WEIGHTS, SERIES = "model.json", "model.safetensors", "series.parquet"
CONFIG, MANIFEST, METRICS = "config.toml", "manifest.json", "metrics.json"
HISTORY, TEST, EXAMPLES = "history.jsonl", "test.parquet", "examples.parquet"
INSPECTED, INSPECTION = "inspect", "inspection.json"
CHECKPOINT = "checkpoint"
"""The folder of what it takes to resume a run; it is there while the run is trained."""
_HEX = "[0-9a-f]" * 8

T = TypeVar("T")


@contextmanager
def new_folder(path: Path, overwrite: bool = False, mark: str = MODEL, *, resume: bool = False) -> Iterator[Path]:
    """A folder under a temporary name, renamed once it is complete; after a failure only checkpoints are left of it.

    Args:
        mark: the file that an existing folder must hold to be replaced.
        resume: take over the folder of a writer that was stopped; an existing run may be replaced then.

    Raises:
        RunError: something is at the path already, another process is writing it, there is
            nothing to resume, or the file system refuses.
    """
    path = _itself(path)
    refuse_not_utf8(str(path))
    try:
        _refuse_taken(path, overwrite or resume, mark)
        path.parent.mkdir(parents=True, exist_ok=True)
        with _held(path):
            _bring_back(path)
            _refuse_taken(path, overwrite or resume, mark)
            yield from _whole(path, _stopped(path) if resume else path.with_name(f".{path.name}.{uuid4().hex[:8]}"))
    except OSError as error:
        command = f"gatecast fit --resume {quote(str(path))} goes on from there"
        left = command if unfinished(path) else "nothing was left behind"
        raise RunError(f"{path} could not be written, {left}: {error}") from None


def _itself(path: Path) -> Path:
    """The target of a link, which is replaced while the link stays; and the real name of `.` or `..`."""
    return Path(os.path.realpath(path)) if os.path.islink(path) or path.name in ("", "..") else path


def _refuse_taken(path: Path, overwrite: bool, mark: str) -> None:
    if path.exists() and not (overwrite and (path / mark).is_file()):
        if (path / mark).is_file():
            raise RunError(f"{path} is there already: choose another with --run, or replace it with --overwrite")
        what = "run" if mark == MODEL else "inspection"
        raise RunError(f"{path} is there already and is no {what} of Gatecast, so it is not replaced: choose another")


def _whole(path: Path, beside: Path) -> Iterator[Path]:
    resumed, old = beside.exists(), beside.with_name(f"{beside.name}.old")
    try:
        beside.mkdir(exist_ok=True)
        yield beside
        seal(beside)
        if path.exists():
            os.replace(path, old)
        try:
            os.replace(beside, path)
        except OSError:
            if old.exists():
                os.replace(old, path)
            raise
    except BaseException as error:
        if not _resumable(beside) or (isinstance(error, GatecastError) and not resumed):
            shutil.rmtree(beside, ignore_errors=True)
        raise
    for left in (path / CHECKPOINT, *_beside(path), *_beside(path, ".old")):  # of those that were killed, too
        shutil.rmtree(left, ignore_errors=True)


def _beside(path: Path, ending: str = "") -> list[Path]:
    """The folders of unfinished writers of a path; whoever holds its lock may take them over or remove them."""
    return sorted(path.parent.glob(f".{glob.escape(path.name)}.{_HEX}{ending}"))


def unfinished(path: Path) -> list[Path]:
    """The folders of trainings that can be resumed, the newest last."""
    return sorted(filter(_resumable, _beside(_itself(path))), key=lambda folder: (folder / CHECKPOINT).stat().st_mtime)


def _resumable(folder: Path) -> bool:
    return any((folder / CHECKPOINT).glob("*"))


def _stopped(path: Path) -> Path:
    """The folder of the training to resume."""
    found = unfinished(path)
    if not found and (path / MODEL).is_file():
        raise RunError(f"{path} holds a complete run: there is nothing to resume")
    if not found:
        raise RunError(
            f"nothing to resume: no training of {path} was stopped; gatecast fit ... --run {path} starts one"
        )
    return found[-1]


@contextmanager
def _held(path: Path) -> Iterator[None]:
    """Lock a path for this process; the system releases the lock however the process ends."""
    lock = path.with_name(f".{path.name}.lock")
    with _locked(lock, path) as file:
        try:
            file.write(f"process {os.getpid()} since {datetime.now().astimezone():%Y-%m-%d %H:%M:%S %z}")
            file.flush()
            yield
        finally:
            lock.unlink()


def _locked(lock: Path, path: Path) -> IO[str]:
    import fcntl  # noqa: PLC0415 - only Unix has it, and only who writes a run needs it

    while True:
        file = lock.open("a+", encoding="utf-8")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with file:
                file.seek(0)
                holder = file.read() or "another process"
            raise RunError(f"{path} is being written by {holder}: wait for it, or choose another") from None
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), lock.stat()):
                file.truncate(0)  # of one that was killed
                return file
        file.close()  # its last holder removed it while we opened it


def _bring_back(path: Path) -> None:
    """Put back the folder that a writer moved aside, if it was killed before the new one took its place."""
    aside = _beside(path, ".old")
    if aside and not path.exists():
        os.replace(aside[-1], path)


def refuse_absent(folder: Path) -> None:
    """Check that there is a run.

    Raises:
        RunError: there is none.
    """
    refuse_not_utf8(str(folder))
    if not is_plain(folder / MODEL):
        begun = f"its training is not complete: `gatecast fit --resume {quote(str(folder))}` goes on if it was stopped"
        none = f"`gatecast fit ... --run {quote(str(folder))}` makes one"
        raise RunError(f"no run at {folder}: {begun if unfinished(folder) else none}")


def steadily(folder: Path, read: Callable[[Path], T]) -> T:
    """Read a folder that another process may be replacing: either the old one or the new one, never parts of both."""
    while True:
        before = _identity(folder)
        try:
            found = read(folder)
            if _identity(folder) == before:
                return found
        except RunError:
            time.sleep(0.02)  # between the two renames there is none
            if _identity(folder) == before:
                raise


def _identity(folder: Path) -> tuple[int, ...] | None:
    """What tells a folder from all others of its name, also from a later one that reuses its inode."""
    with suppress(OSError, ValueError):
        found = folder.stat()
        return found.st_dev, found.st_ino, found.st_ctime_ns
    return None
