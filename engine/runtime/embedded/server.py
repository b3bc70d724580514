"""What the two embedded servers have in common: one owner at a time, and a life that can be repeated."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, TypeVar

from engine.errors import Misconfigured
from engine.runtime.embedded.binaries import Search
from engine.runtime.embedded.home import STATE_ROOT, Home, Lock, open_home

if TYPE_CHECKING:
    import signal
    from pathlib import Path

    from engine.runtime.embedded.child import Child

Value = TypeVar("Value")


class EmbeddedServer(ABC):
    """A server of `home`; `start` may be called again after `stop` or `kill`, and the address stays."""

    name: ClassVar[str]
    stop_steps: ClassVar[tuple[tuple[signal.Signals, float], ...]]

    def __init__(self, home: Path, *, search: Search | None = None, state_root: Path = STATE_ROOT) -> None:
        self._path = home
        self._search = search or Search()
        self._state_root = state_root
        self._lock: Lock | None = None
        self._child: Child | None = None

    @property
    @abstractmethod
    def url(self) -> str:
        """The address for the product. Known once started."""

    @abstractmethod
    async def _launch(self, home: Home) -> None:
        """Set `_child` and wait until it answers."""

    @property
    def process(self) -> Child:
        """The server's process: its pid, whether it is running, `wait()`. Known once started."""
        return self._known(self._child)

    async def start(self) -> None:
        """Start and wait until it answers; without effect while it is running.

        Raises `Misconfigured` (no program, other version, home in use) or `Unavailable` (ended, silent).
        """
        if self._child is not None and self._child.running:
            return
        try:
            home = await asyncio.to_thread(open_home, self._path, state_root=self._state_root)
            self._lock = self._lock or Lock(home.site / f"{self.name}.lock")
            self._lock.take()
            await self._launch(home)
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Shut down in order, then leave `home` to others; without effect when it is not running."""
        try:
            if self._child is not None:
                await self._child.stop(self.stop_steps)
        finally:
            if self._lock is not None:
                self._lock.release()

    async def kill(self) -> None:
        """End it by SIGKILL, as a crash would; `home` stays ours until `stop`."""
        await self.process.kill()

    async def restart(self) -> None:
        """Stop in order, unless it has ended already, and start again on the same data and address."""
        await self.process.stop(self.stop_steps)
        await self.start()

    def _known(self, value: Value | None) -> Value:
        if value is None:
            raise Misconfigured(f"the embedded {self.name} has not been started")
        return value
