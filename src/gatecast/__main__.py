"""The command line as a process: streams, signals, messages and exit codes."""

import errno
import os
import signal
import sys
from contextlib import suppress
from io import TextIOWrapper
from typing import NoReturn

import typer

from gatecast.cli import app
from gatecast.errors import GatecastError, harmless

INTERRUPTED = 130
UNWRITTEN = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""Errors of a stream that takes no more; files that Gatecast opens itself are named with theirs."""
_stopped = list[int]()


def run() -> NoReturn:
    """Run the command line and leave at once: to take torch apart, piece by piece, takes half a second."""
    try:
        main()
    except SystemExit as end:
        with suppress(OSError):  # nobody hears
            sys.stderr.flush()
        os._exit(int(end.code or 0))


def main() -> NoReturn:
    """Run the command line and exit: 0 done, 1 failed, 2 wrong usage."""
    _open_streams()
    signal.signal(signal.SIGTERM, _stop)  # to be stopped is to be interrupted: clean up
    if signal.getsignal(signal.SIGINT) == signal.default_int_handler:  # not where it is ignored, as under nohup
        signal.signal(signal.SIGINT, _stop)
    try:
        code = app(standalone_mode=False) or 0
        if code == INTERRUPTED:  # typer's answer to Ctrl-C
            raise KeyboardInterrupt
        sys.stdout.flush()  # a failure to write is an error too
    except BaseException as error:  # every way out is a message and a code
        if os.environ.get("GATECAST_DEBUG") and not isinstance(error, SystemExit):
            raise
        code = _explain(error)
    sys.exit(code)


def _stop(number: int, frame: object) -> NoReturn:
    """Interrupt; of what is interrupted within another library's import only another error may come back."""
    _stopped.append(number)
    raise KeyboardInterrupt


def _open_streams() -> None:
    """Open the null device for streams that our caller has closed: else the next file opened takes their place.

    Letters that the encoding of stdout lacks are shown as escapes, as those of stderr are.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: SIM115 - for as long as we run
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _explain(error: BaseException) -> int:
    """Print what went wrong, and return its exit code."""
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 1
    if isinstance(error, GatecastError):
        text, code = str(error), error.exit_code
    elif _stopped or isinstance(error, KeyboardInterrupt | typer.Abort):
        text, code = "stopped; no run or table was left half-written", 1
    elif hasattr(error, "format_message"):  # click's own: unknown option, missing argument
        text, code = error.format_message().replace("Value error, ", ""), 2
    elif isinstance(error, BrokenPipeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    elif isinstance(error, OSError) and error.errno in UNWRITTEN and error.filename is None:
        text, code = f"the output could not be written: {error.strerror}", 1
    else:
        text, code = f"{type(error).__name__}: {error} (run gatecast --debug ... to see where)", 1
    if text:  # empty where the help was printed instead
        with suppress(OSError):  # nobody hears; the code tells
            sys.stderr.write(f"gatecast: {harmless(text)}\n")
    return code


if __name__ == "__main__":
    run()
