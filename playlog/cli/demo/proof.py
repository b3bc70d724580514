"""What the log, the stream and the snapshots hold after the demonstration, and whether they agree."""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
import orjson
from pydantic import JsonValue

from engine.runtime.broker import Broker
from engine.runtime.settings import BrokerSettings
from engine.runtime.stream import EventStream
from playlog.answers import Event, Listed
from playlog.client import Client

VERIFY = "/api/internal/projection/verify"
SECONDS = 30.0
PAGE = 200
SEQUENTIAL = ("command.issued", "command.completed", "step.completed")

Place = tuple[str, int]
"""An event's execution and version."""


@dataclass(slots=True, kw_only=True)
class Evidence:
    """What was found in each of the three places."""

    executions: list[Listed]
    log: list[Place] = field(default_factory=list)
    stream: Counter[Place] = field(default_factory=Counter)
    messages: int = 0
    verified: int = 0
    drifted: list[JsonValue] = field(default_factory=list)
    sequential: list[Event] = field(default_factory=list)

    @property
    def versions(self) -> int:
        """The sum of the versions: an execution at version n has n events."""
        return sum(each["version"] for each in self.executions)

    def log_is_gapless(self) -> bool:
        """Whether the log holds versions 1 to n of every execution, each once."""
        wanted = [
            (each["execution_id"], version)
            for each in self.executions
            for version in range(1, each["version"] + 1)
        ]
        return sorted(wanted) == sorted(self.log)

    def stream_is_complete(self) -> bool:
        """Whether the stream holds each event of the log exactly once."""
        return self.stream == Counter(self.log)

    def snapshots_are_true(self) -> bool:
        """Whether every snapshot equals a fresh fold of the log."""
        return self.verified == len(self.executions) and not self.drifted

    def steps_are_three_events(self) -> bool:
        """Whether a step behind another recorded the three events it should."""
        return tuple(event["event_type"] for event in self.sequential) == SEQUENTIAL


async def collect(
    client: Client, *, internal_url: str, token: str, nats_url: str, sequential: tuple[str, str]
) -> Evidence:
    """Look into the log, the stream and the snapshots; `sequential` is an execution and a step of it."""
    evidence = Evidence(executions=await all_executions(client))
    for each in evidence.executions:
        events = await client.events(each["execution_id"])
        evidence.log += [(each["execution_id"], event["version"]) for event in events]
        if each["execution_id"] == sequential[0]:
            evidence.sequential = [event for event in events if event["step"] == sequential[1]]
    async with _stream(nats_url) as stream:
        async for execution_id, versions in _messages(stream):
            evidence.messages += 1
            evidence.stream.update((execution_id, version) for version in versions)
    ids = [each["execution_id"] for each in evidence.executions]
    evidence.verified, evidence.drifted = await _verify(internal_url, token, ids)
    return evidence


async def all_executions(client: Client) -> list[Listed]:
    """Every execution there is."""
    found: list[Listed] = []
    cursor: str | None = None
    while True:
        page = await client.list(limit=PAGE, cursor=cursor)
        found += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            return found


@asynccontextmanager
async def _stream(nats_url: str) -> AsyncIterator[EventStream]:
    settings = BrokerSettings.model_construct(nats_url=nats_url)
    broker = Broker(settings, name="playlog-demo")
    try:
        await broker.connect()
        yield EventStream(broker, settings)
    finally:
        await broker.close()


async def _messages(stream: EventStream) -> AsyncIterator[tuple[str, list[int]]]:
    """The execution and the versions of each message, in the order of the stream."""
    state = await stream.state()
    for sequence in range(state.last_seq - state.messages + 1, state.last_seq + 1):
        answer = await stream.api(f"STREAM.MSG.GET.{stream.name}", {"seq": sequence})
        message = orjson.loads(base64.b64decode(answer["message"]["data"]))
        yield message["execution_id"], [event["version"] for event in message["events"]]


async def _verify(url: str, token: str, ids: Sequence[str]) -> tuple[int, list[JsonValue]]:
    """How many snapshots equal a fresh fold of the log, and those that do not."""
    timeout = aiohttp.ClientTimeout(total=SECONDS)
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        aiohttp.ClientSession(timeout=timeout, headers=headers) as session,
        session.post(f"{url}{VERIFY}", json={"execution_ids": list(ids)}) as answer,
    ):
        answer.raise_for_status()
        found = await answer.json()
    verified = found["verified"]
    return len(verified) if isinstance(verified, list) else int(verified), list(found["drifted"])
