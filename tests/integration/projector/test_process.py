"""The projector as a process: ready, projecting while it runs, and gone on SIGTERM with exit code 0."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import orjson

from engine.runtime.atomic_batch import OutgoingMessage
from engine.runtime.broker import Broker
from engine.runtime.settings import BrokerSettings
from engine.runtime.stream import EventStream
from tests.support.engine import Engine
from tests.support.eventually import eventually
from tests.support.projecting import FOREIGN, append_foreign, foreign, heads, projected

ROOT = Path(__file__).parents[3]


@asynccontextmanager
async def projector(folder: Path, **settings: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Start `python -m projector` in an empty directory; kill what is left of it."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PLAYLOG_")}
    environment |= {f"PLAYLOG_{name.upper()}": value for name, value in settings.items()}
    environment |= {"PYTHONPATH": str(ROOT), "PLAYLOG_HEALTH_PORT": "0"}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "projector"), env=environment, cwd=folder, stderr=asyncio.subprocess.PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_a_projector_works_until_sigterm(
    engine: Engine, nats_url: str, database_url: str, tmp_path: Path
) -> None:
    settings = BrokerSettings(nats_url=nats_url, stream_max_bytes=2**26)
    broker = Broker(settings)
    await broker.connect()
    stream = EventStream(broker, settings)
    await stream.ensure()
    await stream.state()
    heard: list[bytes] = []
    await broker.listen("snapshots", heard.append)
    await append_foreign(engine.connection, FOREIGN, foreign("node.started", 1))
    async with projector(tmp_path, nats_url=nats_url, database_url=database_url) as process:
        row = await engine.connection.fetchrow("select subject, payload from playlog.outbox")
        assert row is not None
        body = row["payload"].encode()
        await stream.publish_one(OutgoingMessage(subject=row["subject"], payload=body))

        async def all_is_projected() -> None:
            assert await projected(engine.connection) == await heads(engine.connection)
            assert [FOREIGN, 1] in [pair for wake in heard for pair in orjson.loads(wake)]

        await eventually(all_is_projected, 20)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 10) == 0
    await broker.close()
