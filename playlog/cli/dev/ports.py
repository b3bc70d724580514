"""Loopback ports: those asked for, or the next free ones."""

from __future__ import annotations

import errno
import socket
from collections.abc import Callable
from dataclasses import dataclass, field

from engine.errors import Misconfigured

HOST = "127.0.0.1"
TRIES = 100


@dataclass(slots=True)
class Ports:
    """Gives out each port once; `say` hears about a default that was taken by somebody else."""

    say: Callable[[str], None]
    _given: set[int] = field(default_factory=set)

    def exactly(self, port: int, what: str) -> int:
        """Return the port that was asked for; raises `Misconfigured` when it cannot be listened on."""
        why = "it is asked for twice" if port in self._given else refusal(port)
        if why is not None:
            raise Misconfigured(
                f"port {port} for the {what} cannot be used: {why}; end what uses it, or choose another port",
                code="port_busy",
            )
        self._given.add(port)
        return port

    def near(self, port: int, what: str | None = None) -> int:
        """Return this port or the next free one; with `what` a move is said aloud."""
        for candidate in range(port, min(port + TRIES, 65_536)):
            if candidate not in self._given and refusal(candidate) is None:
                if candidate != port and what is not None:
                    self.say(f"port {port} is taken, so the {what} listens on {candidate}")
                self._given.add(candidate)
                return candidate
        raise Misconfigured(f"no free port from {port} to {port + TRIES - 1} on {HOST}", code="port_busy")

    def choose(self, asked: int | None, default: int, what: str) -> int:
        """Return the port asked for, or without one the default or the next free port."""
        return self.near(default, what) if asked is None else self.exactly(asked, what)


def refusal(port: int) -> str | None:
    """Why this port cannot be listened on, or None when it can."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            taken = error.errno == errno.EADDRINUSE
            return "another program listens on it" if taken else (error.strerror or str(error)).lower()
    return None
