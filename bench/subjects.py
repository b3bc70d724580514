"""What a subject an execution costs the broker, against a subject a shard with the id in a header."""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.figures import show
from bench.installation import temporary_home
from engine.domain.ids import shard_of
from engine.domain.messages import Span, body
from engine.domain.subjects import EVENTS_PREFIX, event_subject, message_id
from engine.runtime import logs
from engine.runtime.atomic_batch import MOST_MESSAGES, OutgoingMessage
from engine.runtime.broker import Broker
from engine.runtime.consumer import PullConsumer
from engine.runtime.embedded import EmbeddedNats
from engine.runtime.settings import BrokerSettings
from engine.runtime.stream import EventStream

KINDS: dict[str, Callable[[int], str]] = {
    "per_execution": event_subject,
    "per_shard": lambda execution_id: f"{EVENTS_PREFIX}.{shard_of(execution_id)}",
}
FIRST_ID = 380_000_000_000_000_000
PAYLOAD = b'{"version":1,"event_type":"order.noted","payload":{"note":"' + b"x" * 300 + b'"}}'
PART = 10
MIB = 2**20
FETCHES = 20


@dataclass(slots=True)
class Figures:
    """What one kind of subjects costs; seconds, MiB and messages a second."""

    first_rate: float = 0.0
    last_rate: float = 0.0
    memory: float = 0.0
    disk: float = 0.0
    consumer: float = 0.0
    one_execution: float = 0.0
    fetch_rate: float = 0.0
    restart: float = 0.0
    memory_restarted: float = 0.0
    rebuilt: float = 0.0


UNITS = {
    "first_rate": "messages/s",
    "last_rate": "messages/s",
    "memory": "MiB",
    "disk": "MiB",
    "consumer": "s",
    "one_execution": "s",
    "fetch_rate": "messages/s",
    "restart": "s",
    "memory_restarted": "MiB",
    "rebuilt": "s",
}


async def run(*, quick: bool) -> None:
    """Print what a stream of 1,000,000 executions (quick: 50,000) with one message each costs, both ways."""
    logs.configure("bench", level="critical")
    executions = 50_000 if quick else 1_000_000
    found = {kind: await _measure(subject, executions) for kind, subject in KINDS.items()}
    for name, unit in UNITS.items():
        shared = getattr(found["per_shard"], name)
        for kind, figures in found.items():
            ratio_to = None if kind == "per_shard" else shared
            show(f"subjects.{executions}.{kind}.{name}", [getattr(figures, name)], unit, ratio_to=ratio_to)


async def _measure(subject: Callable[[int], str], executions: int) -> Figures:
    figures = Figures()
    with temporary_home() as home:
        server = EmbeddedNats(home)
        await server.start()
        try:
            settings = BrokerSettings(nats_url=server.url)
            async with _stream(settings) as (broker, stream):
                await _publish(stream, subject, executions, figures)
                figures.memory, figures.disk = _memory(server), _disk(home)
                await _read(broker, stream, subject, figures)
            await _restart(server, settings, executions, figures)
            await _rebuild(server, home, settings, executions, figures)
        finally:
            await server.stop()
    return figures


@contextlib.asynccontextmanager
async def _stream(settings: BrokerSettings) -> AsyncIterator[tuple[Broker, EventStream]]:
    broker = Broker(settings, name="bench")
    await broker.connect(wait_seconds=60)
    stream = EventStream(broker, settings)
    try:
        await stream.ensure()
        await stream.state()
        yield broker, stream
    finally:
        await broker.close()


async def _publish(
    stream: EventStream, subject: Callable[[int], str], executions: int, figures: Figures
) -> None:
    """Publish a message an execution; the rates are those of the first and the last tenth."""
    rates = []
    for part in range(PART):
        batches = list(_batches(subject, range(part * executions // PART, (part + 1) * executions // PART)))
        began = time.perf_counter()
        for batch in batches:
            await stream.publish_atomic(batch)
        rates.append(executions / PART / (time.perf_counter() - began))
    figures.first_rate, figures.last_rate = rates[0], rates[-1]
    state = await stream.state()
    if state.messages != executions:
        raise AssertionError(f"the stream holds {state.messages} of {executions} messages")


def _batches(subject: Callable[[int], str], numbers: Sequence[int]) -> Iterator[list[OutgoingMessage]]:
    for first in range(0, len(numbers), MOST_MESSAGES):
        yield [_message(subject, FIRST_ID + number) for number in numbers[first : first + MOST_MESSAGES]]


def _message(subject: Callable[[int], str], execution_id: int) -> OutgoingMessage:
    lines = f"Nats-Msg-Id: {message_id(execution_id, 1, 1, 1)}\r\nce-subject: {execution_id}\r\n"
    return OutgoingMessage(
        subject=subject(execution_id),
        payload=body(Span(execution_id, 1, 1), None, None, [PAYLOAD]),
        header_lines=lines.encode(),
    )


async def _read(broker: Broker, stream: EventStream, subject: Callable[[int], str], figures: Figures) -> None:
    """Make a consumer of everything and read with it; make one of a single subject."""
    consumer = PullConsumer(broker, stream, "all")
    began = time.perf_counter()
    await consumer.ensure()
    figures.consumer = time.perf_counter() - began
    began = time.perf_counter()
    fetched = 0
    for _ in range(FETCHES):
        messages = await consumer.fetch(1_000, 30)
        consumer.acknowledge(messages)
        fetched += len(messages)
    figures.fetch_rate = fetched / (time.perf_counter() - began)
    await consumer.close()
    one = PullConsumer(broker, stream, "one", filter_subject=subject(FIRST_ID + 7))
    began = time.perf_counter()
    found = await one.fetch(1, 30)
    figures.one_execution = time.perf_counter() - began
    await one.close()
    if not found or fetched < FETCHES:
        raise AssertionError("the consumers find nothing")


async def _restart(server: EmbeddedNats, settings: BrokerSettings, executions: int, figures: Figures) -> None:
    """Stop the server in order and start it again."""
    await server.stop()
    figures.restart = await _started(server, settings, executions)
    figures.memory_restarted = _memory(server)


async def _rebuild(
    server: EmbeddedNats, home: Path, settings: BrokerSettings, executions: int, figures: Figures
) -> None:
    """Kill the server and take its index away: it reads all messages again."""
    await server.kill()
    _remove_index(home)
    figures.rebuilt = await _started(server, settings, executions)


def _remove_index(home: Path) -> None:
    indexes = list(home.rglob("nats/**/index.db"))
    if not indexes:
        raise AssertionError("the server keeps its index elsewhere")
    for index in indexes:
        index.unlink()


async def _started(server: EmbeddedNats, settings: BrokerSettings, executions: int) -> float:
    """Seconds until the started server answers for the whole stream."""
    began = time.perf_counter()
    await server.start()
    async with _stream(settings) as (_, stream):
        messages = (await stream.state()).messages
    if messages != executions:
        raise AssertionError(f"{messages} of {executions} messages survived")
    return time.perf_counter() - began


def _memory(server: EmbeddedNats) -> float:
    return psutil.Process(server.process.pid).memory_info().rss / MIB


def _disk(home: Path) -> float:
    return sum(file.stat().st_size for file in home.rglob("nats/**/*") if file.is_file()) / MIB
