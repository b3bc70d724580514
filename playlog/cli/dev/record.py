"""`.playlog/dev.json`: where the engine of this directory is, for the commands that are typed beside it."""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

import orjson

HOME = Path(".playlog")
NAME = "dev.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """An engine that runs: its addresses, its process, and the processes it keeps; no secrets."""

    pid: int
    public_api_url: str
    internal_api_url: str
    health_urls: dict[str, str]
    pids: dict[str, int] = field(default_factory=dict)


def write(home: Path, running: Running) -> None:
    """Write it in one piece."""
    fresh = home / f"{NAME}.new"
    fresh.write_bytes(orjson.dumps(asdict(running), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
    fresh.replace(home / NAME)


def remove(home: Path) -> None:
    """Forget it."""
    (home / NAME).unlink(missing_ok=True)


def read(home: Path) -> Running | None:
    """Read what runs in `home`; None when nothing does, or when what ran has ended without a word."""
    with suppress(OSError, orjson.JSONDecodeError, TypeError):
        running = Running(**orjson.loads((home / NAME).read_bytes()))
        if _lives(running.pid):
            return running
    return None


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except OSError:
        return False
    return True
