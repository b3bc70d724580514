"""Turns the bytes a process prints into log lines and a bounded text."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

LINE_LIMIT = 8 * 1024
LINES_LIMIT = 5_000


def readable(data: bytes) -> str:
    """Decode output as UTF-8; what no JSON store can keep (bad bytes, NUL) becomes U+FFFD."""
    return data.decode("utf-8", "replace").replace("\x00", "\ufffd")


class LineSplitter:
    """Hands complete lines of one stream to `log`, at most `LINES_LIMIT` of `LINE_LIMIT` bytes."""

    def __init__(self, log: Callable[[str], None]) -> None:
        self._log = log
        self._rest = b""
        self._count = 0

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the stream."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._emit(line)
        while len(self._rest) > LINE_LIMIT:
            self._emit(self._rest[:LINE_LIMIT])
            self._rest = self._rest[LINE_LIMIT:]

    def close(self) -> None:
        """End the stream: a last line without a line feed is kept too."""
        if self._rest:
            self._emit(self._rest)
            self._rest = b""

    def _emit(self, line: bytes) -> None:
        self._count += 1
        if self._count <= LINES_LIMIT:
            self._log(readable(line[:LINE_LIMIT].removesuffix(b"\r")))
        elif self._count == LINES_LIMIT + 1:
            self._log(f"(more than {LINES_LIMIT} lines: the rest is dropped)")


class BoundedCapture:
    """Keeps the first `limit` bytes of a stream and splits all of it into log lines."""

    def __init__(self, limit: int, log: Callable[[str], None]) -> None:
        self._limit = limit
        self._kept = bytearray()
        self._lines = LineSplitter(log)
        self.truncated = False

    def feed(self, data: bytes) -> None:
        """Take the next bytes; those beyond the limit are only logged."""
        room = self._limit - len(self._kept)
        self._kept += data[:room]
        self.truncated = self.truncated or len(data) > room
        self._lines.feed(data)

    def close(self) -> None:
        """End the stream."""
        self._lines.close()

    def text(self) -> str:
        """Return what was kept."""
        return readable(bytes(self._kept))
