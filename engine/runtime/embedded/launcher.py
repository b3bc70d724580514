"""Start one server as another account, tied to the life of the process that asked for it.

Run by file name (`python -I -S launcher.py`), so that it needs neither the package nor its dependencies.
It replaces itself by the server: the server keeps this process's id.
A `preexec_fn` would do the same, but runs Python between fork and exec of a program with threads.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time

PR_SET_PDEATHSIG = 1
LAST_WORD_SECONDS = 10.0


def tie_by_kernel(parent: int, last_signal: int) -> None:
    """Have Linux send `last_signal` when the parent ends; a change of user would clear the request."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, last_signal, 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    if os.getppid() != parent:
        raise SystemExit("the process that asked for this server is gone")


def tie_by_pipe(last_signal: int) -> None:
    """Leave a watcher behind that signals the server when standard input ends without a farewell byte.

    The watcher is a grandchild: PostgreSQL takes the death of a child it does not know for a crash.
    """
    server = os.getpid()
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        return
    if os.fork():
        os._exit(0)
    os.setsid()
    silence = os.open(os.devnull, os.O_RDWR)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    if not os.read(0, 1):
        _end(server, last_signal)
    os._exit(0)


def _end(server: int, last_signal: int) -> None:
    deadline = time.monotonic() + LAST_WORD_SECONDS
    try:
        os.kill(server, last_signal)
        while time.monotonic() < deadline:
            time.sleep(0.05)
            os.kill(server, 0)
        os.kill(server, signal.SIGKILL)
    except ProcessLookupError:
        return


def become(uid: int, gid: int) -> None:
    """Give up root for good; an ordinary user stays who it is."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)


def main(arguments: list[str]) -> None:
    """Read `tie parent uid gid last_signal program argument...`, prepare, and become the program."""
    tie, *numbers = arguments[:5]
    parent, uid, gid, last_signal = map(int, numbers)
    program = arguments[5:]
    if tie == "pipe":
        tie_by_pipe(last_signal)
    become(uid, gid)
    if tie == "kernel":
        tie_by_kernel(parent, last_signal)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.umask(0o077)
    os.execv(program[0], program)  # noqa: S606


if __name__ == "__main__":
    main(sys.argv[1:])
