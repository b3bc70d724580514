"""Keeps the platform's settings and token away from user code."""

from __future__ import annotations

import ctypes
import os
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

_KEPT = ("PATH", "HOME", "LANG")
_PR_SET_DUMPABLE = 4


def scrubbed(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment user code may see: PATH, HOME, LANG and `extra`."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return kept | dict(extra or {})


def hide_secret(name: str) -> None:
    """Forget an environment variable, also where /proc shows it to processes of the same user.

    Unsetting alone leaves the old bytes in the block the kernel reads, so they are overwritten first.
    """
    libc = ctypes.CDLL(None)
    libc.getenv.restype = ctypes.c_void_p
    address = libc.getenv(name.encode())
    if address:
        ctypes.memset(address, ord("*"), len(ctypes.string_at(address)))
    os.environ.pop(name, None)


def refuse_inspection() -> None:
    """Make the process's memory and environment unreadable for other processes of its user (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
