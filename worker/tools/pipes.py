"""A pipe that a subprocess prints into; the worker's end is read by the event loop and owned here."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_CHUNK = 64 * 1024
_MOST_CHUNKS = 20
"""More than a pipe holds by default (64 KiB) or at most without privileges (1 MiB)."""


class OutputPipe:
    """Feeds what is printed to `feed`; give `write_end` to one subprocess, then close it here.

    Unlike a stream of asyncio it can be emptied at once (`drain`) and closed while a forgotten child of
    the subprocess still holds the other end.
    """

    def __init__(self, feed: Callable[[bytes], None]) -> None:
        self._feed = feed
        self._read_end, self._write_end = os.pipe()
        os.set_blocking(self._read_end, False)
        self._closed = False
        self.ended = False
        asyncio.get_running_loop().add_reader(self._read_end, self._read)

    @property
    def write_end(self) -> int:
        """The descriptor for the subprocess."""
        return self._write_end

    def close_write_end(self) -> None:
        """Leave the other end to the subprocess."""
        os.close(self._write_end)

    def drain(self) -> None:
        """Take what was printed until now; what the last writer wrote before it ended is never missed."""
        for _ in range(_MOST_CHUNKS):
            if self.ended or not self._read():
                return

    def close(self) -> None:
        """Stop reading; a second call does nothing."""
        if not self._closed:
            self._closed = True
            asyncio.get_running_loop().remove_reader(self._read_end)
            os.close(self._read_end)

    def _read(self) -> bool:
        try:
            data = os.read(self._read_end, _CHUNK)
        except BlockingIOError:
            return False
        if data:
            self._feed(data)
        else:
            self.ended = True
            asyncio.get_running_loop().remove_reader(self._read_end)
        return bool(data)
