"""kill -9 of each process in turn under load: every execution ends once, nothing is lost or told twice."""

from __future__ import annotations

import asyncio
import os
import signal

from bench.installation import installed
from tests.support.faults import all_ended, kill, one_story
from tests.support.load import Load, more_is_acknowledged

EXECUTIONS = 200
ROLES = ("internal-api", "publisher", "projector", "scheduler", "public-api", "worker")
LEASE_AND_A_BIT = 150.0


async def test_two_hundred_executions_survive_the_death_of_every_process() -> None:
    async with installed() as installation:
        load = Load(installation.client)
        starting = asyncio.create_task(load.start(range(EXECUTIONS)))
        for role in ROLES:
            await more_is_acknowledged(load, EXECUTIONS)
            await kill(installation, role)
        for server in (installation.engine.servers.nats, installation.engine.servers.postgres):
            assert server is not None
            await more_is_acknowledged(load, EXECUTIONS)
            os.kill(server.process.pid, signal.SIGKILL)
        await starting
        assert len(load.acknowledged) == EXECUTIONS
        await all_ended(installation, load, LEASE_AND_A_BIT)
        await one_story(installation, load)
