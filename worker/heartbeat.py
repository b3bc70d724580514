"""Keeps leases alive from a thread of its own, so that a blocked event loop loses nothing."""

from __future__ import annotations

import http.client
import random
import threading
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import orjson
import structlog

from worker import metrics
from worker.api_client import BASE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from worker.commands import Command, Held
    from worker.credentials import Token

_log = structlog.get_logger(__name__)

INTERVAL_SECONDS = 10.0
REQUEST_SECONDS = 10.0
_RETRY_SECONDS = 1.0
_SILENT_BEATS = 3
_TOLD_AGAIN_SECONDS = 30.0


class HeartbeatThread(threading.Thread):
    """Sends `/commands/heartbeat` for all held commands and hands those cancelled and lost to `on_answer`.

    They are the commands as they were asked for: by now the worker may hold one of them under another lease.
    `on_answer` runs in this thread. The first beat is sent at once: it registers the worker.
    """

    def __init__(
        self,
        url: str,
        token: Token,
        *,
        identity: dict[str, object],
        held: Held,
        on_answer: Callable[[list[Command], list[Command]], object],
        interval: float = INTERVAL_SECONDS,
    ) -> None:
        super().__init__(name="heartbeat", daemon=True)
        self._address = urlsplit(url)
        self._token = token
        self._identity = identity
        self._held = held
        self._on_answer = on_answer
        self._interval = interval
        self._stopping = threading.Event()
        self._connection: http.client.HTTPConnection | None = None
        self._answered: float | None = None
        self._failures = 0
        self._told_at = 0.0

    def run(self) -> None:
        """Beat until stopped; a beat that fails is repeated sooner than the interval."""
        pause = 0.0
        while not self._stopping.wait(pause):
            pause = self._interval if self._beat() else min(_RETRY_SECONDS, self._interval)
            pause *= random.uniform(0.8, 1.0)  # noqa: S311  # spreads load, guards nothing
        self._disconnect()

    def stop(self) -> None:
        """Ask the thread to end after the beat it is in."""
        self._stopping.set()

    async def fault(self) -> str | None:
        """Return why leases are in danger: too long without an answer."""
        if self._answered is None:
            return "not registered yet"
        silent = time.monotonic() - self._answered
        return f"no answer for {silent:.0f} s" if silent > _SILENT_BEATS * self._interval else None

    def _beat(self) -> bool:
        asked = {command.key: command for command in self._held.snapshot()}
        commands = [command.reference for command in asked.values()]
        try:
            answer = self._post(orjson.dumps({**self._identity, "commands": commands}))
            cancelled, lost = _named(answer, "cancelled", asked), _named(answer, "lost", asked)
        except (OSError, http.client.HTTPException, ValueError, TypeError) as error:
            self._note_failure(error, held=len(commands))
            self._disconnect()
            return False
        self._note_answer()
        if cancelled or lost:
            self._on_answer(cancelled, lost)
        return True

    def _note_failure(self, error: Exception, *, held: int) -> None:
        """Count every failure; of failures in a row tell the first, and then how many there are by now."""
        metrics.heartbeat_failures.inc()
        self._failures += 1
        now = time.monotonic()
        if self._failures == 1 or now - self._told_at >= _TOLD_AGAIN_SECONDS:
            self._told_at = now
            reason = f"{type(error).__name__}: {error}"
            _log.warning("worker.heartbeat_failed", error=reason, held=held, failures=self._failures)

    def _note_answer(self) -> None:
        if self._failures > 1:
            _log.info("worker.heartbeat_answered", failures=self._failures)
        self._failures = 0
        self._answered = time.monotonic()

    def _post(self, body: bytes) -> object:
        if self._connection is None:
            self._connection = self._connect()
        headers = {"Authorization": f"Bearer {self._token.read()}", "Content-Type": "application/json"}
        path = f"{self._address.path.rstrip('/')}{BASE}/commands/heartbeat"
        self._connection.request("POST", path, body, headers)
        response = self._connection.getresponse()
        content = response.read()
        if response.status != http.client.OK:
            raise http.client.HTTPException(f"the internal API answered {response.status}")
        return orjson.loads(content)

    def _connect(self) -> http.client.HTTPConnection:
        host, port = self._address.hostname or "", self._address.port
        if self._address.scheme == "https":
            return http.client.HTTPSConnection(host, port, timeout=REQUEST_SECONDS)
        return http.client.HTTPConnection(host, port, timeout=REQUEST_SECONDS)

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _named(answer: object, name: str, asked: Mapping[str, Command]) -> list[Command]:
    found = answer.get(name, []) if isinstance(answer, dict) else None
    if not isinstance(found, list):
        raise TypeError(f"the answer has no list {name!r}")
    return [asked[str(key)] for key in found if str(key) in asked]
