"""One connection of nats-py that ends for good when it breaks, and that takes ready-made commands."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from nats.aio.client import Client
from nats.aio.transport import TcpTransport
from nats.errors import ConnectionClosedError

if TYPE_CHECKING:
    from collections.abc import Callable


class _Socket(TcpTransport):
    def __bool__(self) -> bool:
        # nats-py replaces a transport that is false; this one must stay, to be cut later.
        return True

    def cut(self) -> None:
        if self._io_writer is not None:
            self._io_writer.transport.abort()


_new_socket: Callable[[], _Socket] = _Socket


class Wire(Client):
    """A connection whose loss fails what waits on it instead of leaving it to time out.

    nats-py's own reconnecting sends what it had buffered before anyone could look at the new server, and
    waits for unsent bytes of a silent one; so a broken wire is thrown away and the broker makes a new one.
    """

    def __init__(self) -> None:
        super().__init__()
        self._socket = _new_socket()
        self._transport = self._socket

    @property
    def server_version(self) -> str:
        """The version of the server, `2.15.1`."""
        version = self.connected_server_version
        return f"{version.major}.{version.minor}.{version.patch}"

    def write(self, block: bytes) -> None:
        """Send whole protocol commands without waiting.

        Raises:
            nats.errors.ConnectionClosedError: not connected; nothing is kept for later.
        """
        if not self.is_connected or self._flush_queue is None:
            raise ConnectionClosedError
        self._pending.append(block)
        self._pending_data_size += len(block)
        if self._flush_queue.empty():
            self._flush_queue.put_nowait(asyncio.get_running_loop().create_future())

    def cut(self) -> None:
        """Drop the socket with what it has not sent, and fail every request that waits for an answer."""
        self._pending.clear()
        self._pending_data_size = 0
        self._socket.cut()
        for waiting in list(self._resp_map.values()):
            if not waiting.done():
                waiting.set_exception(ConnectionClosedError())
