"""The token a worker sends: fixed, or from a file that is read again when it changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.errors import Misconfigured

if TYPE_CHECKING:
    from pathlib import Path


class Token:
    """One bearer token; of several in a list the first is sent. Safe to read from any thread."""

    def __init__(self, *, value: str | None = None, file: Path | None = None) -> None:
        if not (value or file):
            raise Misconfigured("PLAYLOG_INTERNAL_API_TOKEN or PLAYLOG_INTERNAL_API_TOKEN_FILE is needed")
        self._file = file
        self._current = _first(value or "")
        self._seen: tuple[int, int, int] | None = None

    def read(self) -> str:
        """Return the token to send now; a file that is away or empty keeps the last one."""
        if self._file is None:
            return self._current
        try:
            stat = self._file.stat()
            seen = (stat.st_mtime_ns, stat.st_ino, stat.st_size)
            if seen != self._seen:
                self._current = _first(self._file.read_text(encoding="ascii")) or self._current
                self._seen = seen
        except (OSError, UnicodeDecodeError):
            return self._current
        return self._current


def _first(text: str) -> str:
    return text.split(",", maxsplit=1)[0].strip()
