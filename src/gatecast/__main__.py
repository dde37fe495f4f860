"""The command line as a process: `gatecast`, and `python -m gatecast`."""

import os
import sys
from typing import NoReturn

from gatecast.cli import main


def run() -> NoReturn:
    """Run the command line and leave at once: to take torch apart, piece by piece, takes half a second."""
    try:
        main()
    except SystemExit as end:
        sys.stderr.flush()
        os._exit(int(end.code or 0))


if __name__ == "__main__":
    run()
