"""The tool that does nothing; its output is null."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from worker.tools.contract import ToolContext


async def run(_value: object, _context: ToolContext) -> None:
    """Take any input and complete at once."""
