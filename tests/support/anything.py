"""Tools of tests that answer commands themselves: a noop there gives whatever the test says."""

from __future__ import annotations

from engine.language import BUILTIN_TOOLS, Tool

TOOLS = {**BUILTIN_TOOLS, "noop": Tool()}
