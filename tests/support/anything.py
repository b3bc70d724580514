"""Tools of tests that answer commands themselves: they take anything, and give whatever the test says."""

from __future__ import annotations

from engine.language import BUILTIN_TOOLS, Tool

TOOLS = dict.fromkeys(BUILTIN_TOOLS, Tool())
