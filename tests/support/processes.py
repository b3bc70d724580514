"""Asks whether a process still runs, without needing to be its parent."""

from __future__ import annotations

from pathlib import Path


def assert_gone(pid: int) -> None:
    """Raise AssertionError while the process runs; one that nobody has reaped counts as gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return
    assert stat.rpartition(") ")[2][0] == "Z", f"process {pid} runs"
