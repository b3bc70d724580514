"""nats-server with JetStream for one project, on one loopback port, with a password of its own.

Every write is synced before it is acknowledged (`sync_interval: always`), so that an orphan can be
ended by SIGKILL: the store and the port are free at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import secrets
import signal
import socket
from typing import TYPE_CHECKING

from engine.errors import Unavailable
from engine.runtime.embedded.binaries import find_nats
from engine.runtime.embedded.child import Child
from engine.runtime.embedded.server import EmbeddedServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from engine.runtime.embedded.home import Home

HOST = "127.0.0.1"
USER = "playlog"
START_SECONDS = 30.0
PROBE_SECONDS = 2.0
FIRST_PORT = 14_000
PORTS = 16_000
TRIES = 5
PORT_POLL_SECONDS = 0.2
PORT_TAKEN = "address already in use"

SETTINGS = """\
server_name: playlog-embedded
listen: "{host}:{port}"
max_payload: 8MB
write_deadline: "10s"
authorization {{ user: {user}, password: {password} }}
jetstream {{
  store_dir: {store}
  sync_interval: always
  max_file_store: 100GB
}}
"""


class EmbeddedNats(EmbeddedServer):
    """The nats-server of a home."""

    name = "nats"
    stop_steps = ((signal.SIGTERM, 15.0),)

    _port: int | None = None
    _password = ""

    @property
    def url(self) -> str:
        """The address with user and password. Known once started."""
        return f"nats://{USER}:{self._password}@{HOST}:{self.port}"

    @property
    def port(self) -> int:
        """The loopback port. Known once started."""
        return self._known(self._port)

    async def _launch(self, home: Home) -> None:
        program = await asyncio.to_thread(find_nats, home.account, self._search)
        store = home.make_private(home.site / "nats")
        self._password = _password(home)
        known = self._port
        for port in _free_ports(home.site) if known is None else (known,) * TRIES:
            self._port = port
            config = home.write("nats.conf", _settings(port, self._password, store))
            if await self._run(home, (program, "-c", config)):
                return
            await asyncio.sleep(PORT_POLL_SECONDS)
        self._port = known
        raise Unavailable(f"no free port for nats-server was found on {HOST}", code="no_free_port")

    async def _run(self, home: Home, command: tuple[Path | str, ...]) -> bool:
        """Start it; False when somebody else has taken the port."""
        self._child = await Child.start(
            command, home.account, home.log(self.name), last_signal=signal.SIGKILL
        )
        try:
            await self._child.until_ready(self._answers, START_SECONDS)
        except Unavailable as error:
            if PORT_TAKEN not in error.detail:
                raise
            return False
        return True

    async def _answers(self) -> bool:
        """Whether the server takes the password and reports JetStream ready."""
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                reader, writer = await asyncio.open_connection(HOST, self.port)
                try:
                    return await self._greet(reader, writer)
                finally:
                    writer.close()
                    with contextlib.suppress(OSError):
                        await writer.wait_closed()
        except (OSError, ValueError, TimeoutError):
            return False

    async def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        info = json.loads((await reader.readline()).removeprefix(b"INFO ") or "{}")
        about = json.dumps({"user": USER, "pass": self._password, "verbose": False, "pedantic": False})
        writer.write(f"CONNECT {about}\r\nSUB _READY 1\r\nPUB $JS.API.INFO _READY 0\r\n\r\n".encode())
        await writer.drain()
        answer = await reader.readline()
        return bool(info.get("jetstream")) and answer.startswith(b"MSG _READY")


def _settings(port: int, password: str, store: Path) -> str:
    return SETTINGS.format(
        host=HOST, port=port, user=USER, password=password, store=json.dumps(str(store), ensure_ascii=False)
    )


def _password(home: Home) -> str:
    """The password of this home, made once: the address stays the same over restarts."""
    file = home.config / "nats.password"
    known = file.read_text().strip() if file.exists() else ""
    if known:
        return known
    password = f"p{secrets.token_hex(16)}"
    home.write(file.name, password)
    return password


def _free_ports(site: Path) -> Iterator[int]:
    """Free ports, the same first one for the same site.

    They lie below the range from which systems take the ports of outgoing connections: a client that
    keeps trying a closed port of that range may connect to itself and hold the port.
    """
    start = int.from_bytes(hashlib.sha256(os.fsencode(site)).digest()[:4])
    numbers = (FIRST_PORT + (start + step) % PORTS for step in range(PORTS))
    free = (number for number in numbers if _is_free(number))
    for _, port in zip(range(TRIES), free, strict=False):
        yield port


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True
