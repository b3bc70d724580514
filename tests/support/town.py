"""A small installation under test: mortal processes, a ledger of what they said, and work to be done."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from itertools import count

import asyncpg

from engine.domain.admit import Verdict
from engine.domain.ids import derive_id
from engine.errors import Conflict
from engine.language import parse
from engine.write import catalog, commands, executions
from engine.write.commands import Claimed, Lease, Result
from engine.write.executions import StartOrder
from projector.role import Projector
from publisher.role import Publisher
from tests.support.anything import TOOLS
from tests.support.checker import snapshot_versions
from tests.support.ledger import Ledger
from tests.support.mortal import Life, Office, office, projector, publisher
from tests.support.servers import connected

MAIN = """
playbook: town/main
inputs: {n: {type: integer}}
steps:
  - {name: first, tool: noop, with: {n: "${ inputs.n }"}, retry: {max_attempts: 2, delay: 1ms}}
  - {name: left, tool: noop, needs: [first]}
  - {name: right, tool: noop, needs: [first], when: "inputs.n % 2 == 0"}
  - {name: meet, tool: noop, needs: [left, right]}
  - {name: ask, wait: {event: go, timeout: 1h}}
  - {name: child, tool: playbook, with: {playbook: town/child, inputs: {n: "${ inputs.n }"}}}
output: "${ steps.child.output }"
"""
CHILD = """
playbook: town/child
inputs: {n: {type: integer}}
steps: [{name: work, tool: noop}]
output: "${ inputs.n + 1 }"
"""
PARENT = """
playbook: town/parent
inputs: {n: {type: integer}}
steps: [{name: child, tool: playbook, with: {playbook: town/child, inputs: {n: "${ inputs.n }"}}}]
output: "${ steps.child.output }"
"""
NAPPING = """
playbook: town/napping
inputs: {n: {type: integer}}
steps: [{name: nap, wait: {for: 1ms}}, {name: act, tool: noop}]
"""
LARGE = """
playbook: town/large
inputs: {n: {type: integer}}
steps:
  - {name: big, tool: noop}
  - {name: use, tool: noop, when: "size(steps.big.output.rows) == 2"}
"""
FOREIGN_IDS = 5_000_000
MOST_ROUNDS = 100
OPEN = """
select execution_id from playlog.execution where ended_at is null and definition_hash is not null
order by execution_id
"""
DELIVERIES_ARE_DUE = "update playlog.delivery set available_at = available_at - interval '1 hour'"


@dataclass(slots=True)
class Town:
    """`connection` looks on and is never broken; `cases` says which case an execution belongs to."""

    connection: asyncpg.Connection
    database_url: str
    nats_url: str
    office: Life[Office]
    publisher: Life[Publisher]
    projector: Life[Projector]
    ledger: Ledger = field(default_factory=Ledger)
    case: str = ""
    cases: dict[int, str] = field(default_factory=dict)
    numbers: count[int] = field(default_factory=lambda: count(1))

    async def register(self, *sources: str) -> None:
        for source in sources:
            await catalog.register(self.connection, parse(source.encode(), tools=TOOLS), source)

    async def start(self, playbook: str, **more: object) -> int:
        """Start an execution with a number of its own as its input and its key."""
        number = next(self.numbers)
        order = StartOrder(
            playbook=playbook,
            inputs={"n": number},
            key=f"number-{number}",
            **more,  # type: ignore[arg-type]
        )
        execution_id = await self.office.call(lambda now: self.order(now, order))
        self.cases[execution_id] = self.case
        return execution_id

    async def order(self, now: Office, order: StartOrder) -> int:
        """Start what is ordered and note the answer."""
        standing = await executions.start(now.checkout, now.desk.appender, now.desk.definitions, order)
        execution_id = standing.execution_id
        self.ledger.answers[f"start {order.key}"].append(execution_id)
        self.ledger.ask(execution_id, [derive_id("started", execution_id)]).acknowledged = True
        self.cases[execution_id] = self.case
        return execution_id

    def foreign_rows(self, executions: int, events: int) -> list[dict[str, object]]:
        """Rows of fresh foreign executions, a number of events each."""
        ids = [FOREIGN_IDS + next(self.numbers) for _ in range(executions)]
        self.cases.update(dict.fromkeys(ids, self.case))
        return [
            {
                "execution_id": each,
                "event_id": each * 1000 + n,
                "event_type": "order.noted",
                "result": {"n": n},
            }
            for n in range(1, events + 1)
            for each in ids
        ]

    async def record(self, now: Office, rows: Sequence[dict[str, object]]) -> None:
        """Send rows as a batch, and note that they were taken."""
        taken = await now.intake.project(rows)
        self.ledger.answers[f"project {rows[0]['event_id']}"].append(
            ("taken", taken.materialized + taken.duplicates, len(taken.rejected))
        )
        for row in rows:
            asked = self.ledger.ask(int(str(row["execution_id"])), [int(str(row["event_id"]))])
            asked.acknowledged = True

    async def foreign(self, executions: int = 2, events: int = 2) -> list[int]:
        """Fresh foreign executions, recorded in an append an event."""
        rows = self.foreign_rows(executions, events)
        for place in range(0, len(rows), executions):
            part = rows[place : place + executions]
            await self.office.call(partial(self.record, rows=part))
        return [int(str(row["execution_id"])) for row in rows[:executions]]

    async def claim(
        self, now: Office, worker: str, *, limit: int = 100, lease: float = 60.0
    ) -> list[Claimed]:
        """Claim for a worker and note what it holds."""
        async with now.checkout() as connection:
            claimed = await commands.claim(
                connection, worker_id=worker, pool="default", limit=limit, lease_seconds=lease
            )
        self.ledger.holders.update({command.command_id: worker for command in claimed})
        return claimed

    async def settle(self, now: Office, worker: str, results: Sequence[Result]) -> list[Verdict]:
        """Settle as the internal API does; note which results were taken."""
        nameless = [result.lease.command_id for result in results if result.execution_id is None]
        async with now.checkout() as connection:
            owners = await commands.executions_of(connection, nameless)
        settled = await commands.settle_owned(now.desk.appender, worker, results, owners)
        for result, admission in zip(results, settled.verdicts, strict=True):
            if admission.verdict is not Verdict.REJECTED:
                self.ledger.results[result.lease.command_id].add(worker)
        return [admission.verdict for admission in settled.verdicts]

    async def look(self) -> None:
        """Note the versions of all snapshots."""
        self.ledger.saw(await snapshot_versions(self.connection))

    async def finish(self) -> None:
        """Do what is left to do, as workers, schedulers and people would, until every execution has ended."""
        waiting: list[int] = []
        for round_ in range(MOST_ROUNDS):
            waiting = [row["execution_id"] for row in await self.connection.fetch(OPEN)]
            if not waiting:
                return
            await self._round(waiting if round_ == 0 else ())
        raise AssertionError(f"executions that never end: {waiting}")

    async def _round(self, to_be_signalled: Iterable[int]) -> None:
        for execution_id in to_be_signalled:
            await self.office.call(partial(go, execution_id=execution_id))
        await self.office.call(lambda now: now.desk.deliveries.step())
        await self.connection.execute(DELIVERIES_ARE_DUE)
        await self.office.call(lambda now: now.due.step())
        claimed = await self.office.call(lambda now: self.claim(now, "finisher"))
        if claimed:
            results = [result_of(command, succeeds=succeeds(command)) for command in claimed]
            await self.office.call(lambda now: self.settle(now, "finisher", results))

    async def publish(self) -> None:
        """Publish until nothing waits."""
        while await self.publisher.insist(lambda now: now.step()) == 0 or await self.messages():
            pass

    async def messages(self) -> int:
        return int(await self.connection.fetchval("select count(*) from playlog.outbox"))

    async def project(self) -> None:
        """Project until every snapshot is at its head."""
        for _ in range(MOST_ROUNDS):
            if not await self.behind():
                return
            await self.projector.insist(lambda now: now.step())
            await self.look()
        raise AssertionError(f"snapshots that stay behind: {await self.behind()}")

    async def behind(self) -> list[int]:
        rows = await self.connection.fetch(
            "select e.execution_id from playlog.execution e left join playlog.snapshot s using (execution_id)"
            " where s.version is distinct from e.version and e.version > 0"
        )
        return [row["execution_id"] for row in rows]


async def go(now: Office, execution_id: int) -> None:
    """The signal that `town/main` waits for; ended executions need none."""
    with contextlib.suppress(Conflict):
        await executions.signal(now.desk.appender, execution_id, "go", None, f"go {execution_id}")


def succeeds(command: Claimed) -> bool:
    """The first attempt of the step that is retried fails."""
    return not (command.step == "first" and command.attempt == 1)


def result_of(
    command: Claimed, *, succeeds: bool = True, named: bool = True, uri: str | None = None
) -> Result:
    """A result as its worker sends it; with a `uri` its output is kept there."""
    error = {"code": "boom", "message": "no"}
    output = {"step": command.step} if uri is None else None
    return Result(
        lease=Lease(command.command_id, command.lease_token),
        succeeded=succeeds,
        value=output if succeeds else error,
        payload_uri=uri,
        execution_id=command.execution_id if named else None,
    )


@contextlib.asynccontextmanager
async def running_town(database_url: str, nats_url: str) -> AsyncIterator[Town]:
    """A town with its playbooks registered and its processes running."""
    async with connected(database_url) as connection, AsyncExitStack() as stack:
        town = Town(
            connection,
            database_url,
            nats_url,
            Life(partial(office, database_url)),
            Life(partial(publisher, database_url, nats_url)),
            Life(partial(projector, database_url, nats_url)),
        )
        await town.register(CHILD, MAIN, PARENT, NAPPING, LARGE)
        for life in (town.office, town.publisher, town.projector):
            await life.begin()
            stack.push_async_callback(life.end)
        yield town
