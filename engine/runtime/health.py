"""Whether a process lives and is ready, with reasons, and its metrics, on a port of its own."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import orjson
import structlog
from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from engine.runtime.database import classify

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

Check: TypeAlias = "Callable[[], Awaitable[str | None]]"
"""A readiness check: the reason why not, or None; an exception counts as a reason."""

_log = structlog.get_logger(__name__)
_CHECK_SECONDS = 3.0
_KEEPALIVE_SECONDS = 75.0


@dataclass(slots=True, kw_only=True)
class LoopProgress:
    """What one loop has to show: it is at fault when it keeps failing or when a pass does not end."""

    max_failures: int = 5
    max_seconds: float = 60.0
    clock: Callable[[], float] = time.monotonic
    _failures: int = field(default=0, init=False)
    _last_error: str = field(default="", init=False)
    _running_since: float | None = field(default=None, init=False)

    def began(self) -> None:
        """Note that a pass started now."""
        self._running_since = self.clock()

    def succeeded(self) -> None:
        """Note that the pass ended well."""
        self._running_since = None
        self._failures = 0

    def failed(self, error: Exception) -> None:
        """Note that the pass ended with an error."""
        self._running_since = None
        self._failures += 1
        self._last_error = classify(error).code

    def fault(self) -> str | None:
        """Return why this loop makes no progress, or None while it does."""
        if self._failures >= self.max_failures:
            return f"failed {self._failures} times in a row, last with {self._last_error}"
        if self._running_since is None:
            return None
        seconds = self.clock() - self._running_since
        if seconds < self.max_seconds:
            return None
        return f"a pass has been running for {seconds:.0f} s"


class Health:
    """The readiness checks and loops of one process."""

    def __init__(self) -> None:
        self._checks: dict[str, Check] = {}

    def add(self, name: str, check: Check) -> None:
        """Register a check; the process is ready when none gives a reason against it."""
        self._checks[name] = check

    def loop(self, name: str, *, max_failures: int = 5, max_seconds: float = 60.0) -> LoopProgress:
        """Register a loop; it is at fault after so many failures in a row or a pass longer than that."""
        progress = LoopProgress(max_failures=max_failures, max_seconds=max_seconds)

        async def check() -> str | None:
            return progress.fault()

        self.add(f"loop {name}", check)
        return progress

    async def faults(self) -> dict[str, str | None]:
        """Run all checks at once, each for at most 3 s, and return the reasons by name.

        A process that has registered nothing yet is starting, and not ready.
        """
        names = list(self._checks)
        if not names:
            return {"process": "starting"}
        reasons = await asyncio.gather(*(_reason(self._checks[name]) for name in names))
        return dict(zip(names, reasons, strict=True))


async def serve_health(health: Health, host: str, port: int) -> HealthServer:
    """Serve /livez, /readyz and /metrics until the returned server is closed; port 0 takes a free one."""
    app = web.Application()
    app.add_routes([*probes(health), web.get("/metrics", _metrics)])
    runner = web.AppRunner(app, access_log=None, keepalive_timeout=_KEEPALIVE_SECONDS)
    await runner.setup()
    await web.TCPSite(runner, host, port).start()
    return HealthServer(runner)


def probes(health: Health) -> list[web.RouteDef]:
    """Return the routes /livez (also /healthz) and /readyz, which an API serves on its own port too."""

    async def readyz(_request: web.Request) -> web.Response:
        faults = await health.faults()
        ready = all(why is None for why in faults.values())
        checks = {name: {"ok": why is None} | ({"why": why} if why else {}) for name, why in faults.items()}
        body = orjson.dumps({"ready": ready, "checks": checks}, option=orjson.OPT_APPEND_NEWLINE)
        return web.Response(body=body, status=200 if ready else 503, content_type="application/json")

    return [web.get("/livez", _livez), web.get("/healthz", _livez), web.get("/readyz", readyz)]


class HealthServer:
    """The listening health routes of a process."""

    def __init__(self, runner: web.AppRunner) -> None:
        self._runner = runner

    @property
    def port(self) -> int:
        """The port listened on."""
        return int(self._runner.addresses[0][1])

    async def close(self) -> None:
        """Stop listening."""
        await self._runner.cleanup()


async def _reason(check: Check) -> str | None:
    try:
        async with asyncio.timeout(_CHECK_SECONDS):
            return await check()
    except TimeoutError:
        return f"no answer within {_CHECK_SECONDS:.0f} s"
    except Exception as error:  # noqa: BLE001 - a check that breaks is a reason, not a crash
        known = classify(error)
        _log.warning("health.check_failed", code=known.code, exc_info=error)
        return known.code


async def _livez(_request: web.Request) -> web.Response:
    return web.Response(text="ok\n")


async def _metrics(_request: web.Request) -> web.Response:
    return web.Response(body=generate_latest(), headers={"Content-Type": CONTENT_TYPE_LATEST})
