from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from engine.errors import Misconfigured
from playlog.cli.dev.ports import HOST, Ports


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.socket() as listener:
        listener.bind((HOST, 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_a_default_that_is_taken_moves_to_the_next_free_port_and_says_so(taken: int) -> None:
    said: list[str] = []
    port = Ports(said.append).choose(None, taken, "public API")
    assert port > taken
    assert said == [f"port {taken} is taken, so the public API listens on {port}"]


def test_a_port_that_was_asked_for_is_refused_when_it_is_taken(taken: int) -> None:
    with pytest.raises(Misconfigured, match=f"port {taken} for the public API cannot be used") as caught:
        Ports(print).choose(taken, 8080, "public API")
    assert caught.value.code == "port_busy"


def test_no_port_is_given_out_twice(taken: int) -> None:
    ports = Ports(print)
    first, second = ports.near(taken), ports.near(taken)
    assert first != second
    with pytest.raises(Misconfigured, match="asked for twice"):
        ports.exactly(first, "internal API")
