"""How much work something is, counted and not timed: the same on a slow machine as on a fast one."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

MOST_CALLS = 4_000_000
"""About a second of work."""


def calls_of(action: Callable[[], object]) -> int:
    """How many functions an action calls, in Python and in C."""
    calls = 0

    def count(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        action()
    finally:
        sys.setprofile(before)
    return calls
