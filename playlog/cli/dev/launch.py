"""Becomes one of our processes, and ends with the process that started it.

Run by file name: `python -P launch.py ROOT PACKAGE [argument...]`. Standard input is a pipe that nobody
writes to; its end says that the parent is gone, however that died.
"""

from __future__ import annotations

import os
import runpy
import signal
import sys
import threading
import time

LAST_WORD_SECONDS = 8.0


def main(arguments: list[str]) -> None:
    """Run a package as `python -m` would, found in ROOT where it is not installed."""
    root, package, *rest = arguments
    lifeline = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    threading.Thread(target=end_with_parent, args=(lifeline,), daemon=True).start()
    if root not in sys.path:
        sys.path.insert(0, root)
    sys.argv = [package, *rest]
    runpy.run_module(package, run_name="__main__", alter_sys=True)


def end_with_parent(lifeline: int) -> None:
    """Wait for the end of the pipe, ask this process to drain, and end it when it does not."""
    while os.read(lifeline, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(LAST_WORD_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main(sys.argv[1:])
