"""The checker bites: a product without one of its guards is caught, by the promise that the guard keeps."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

import projector.role
from tests.support import mutant_scenarios as scenarios
from tests.support.checker import inspect
from tests.support.mortal import follow_plans
from tests.support.mutant_scenarios import Scenario
from tests.support.mutants import Mutant
from tests.support.servers import Connection
from tests.support.town import running_town
from tests.support.violations import Kind


@dataclass(frozen=True, slots=True)
class Caught:
    """A mutant, the story in which it shows, and which promise it breaks there.

    `also` changes the second place that keeps the same promise where there are two.
    """

    mutant: Mutant
    scenario: Scenario
    broken: Kind
    also: Mutant | None = None


MUTANTS = {
    "no lease check": Caught(
        Mutant("engine.domain.admit:_settle", "or command.lease_token != event.lease_token", ""),
        scenarios.a_result_under_a_lease_that_was_handed_back,
        Kind.LEASE,
    ),
    "no state guard": Caught(
        Mutant("engine.domain.admit:_settle", "if event.command_id in state.commands:", "if True:"),
        scenarios.a_result_after_a_cancel,
        Kind.TERMINAL,
    ),
    "no duplicate check": Caught(
        Mutant("engine.write.stream:needs_probe", "return state.version > 0", "return False"),
        scenarios.native_events_sent_twice,
        Kind.ANSWER,
    ),
    "no duplicate check for other systems": Caught(
        Mutant(
            "engine.write.probe:probe_foreign",
            'if head["definition_hash"] is None and head["version"]',
            "if False",
        ),
        scenarios.a_batch_sent_twice,
        Kind.ANSWER,
    ),
    "no version guard on snapshots": Caught(
        Mutant("sql:snapshots.upsert", "(excluded.version > s.version and ", "(s.version > 0 and "),
        scenarios.everything_delivered_again,
        Kind.BACKWARDS,
    ),
    "ack before commit": Caught(
        Mutant(
            "projector.role:Projector.step",
            "projected = await self._project(batch)",
            "self._consumer.acknowledge(batch); projected = await self._project(batch)",
        ),
        scenarios.a_projector_that_dies_at_each_call,
        Kind.SNAPSHOT,
    ),
    "settle before publish": Caught(
        Mutant(
            "publisher.role:Publisher._serve",
            "sent = await self._sender.send(",
            "await publishing.delete_published(connection, [each.outbox_id for each in waiting]);"
            " await connection.execute('commit'); await connection.execute('begin');"
            " sent = await self._sender.send(",
        ),
        scenarios.a_publisher_that_dies_at_each_call,
        Kind.STREAM,
    ),
    "fold from messages without gap check": Caught(
        Mutant(
            "engine.domain.evolve:evolve",
            "if event.version != state.version + 1:",
            "if event.version <= state.version:",
        ),
        scenarios.a_message_that_nats_has_lost,
        Kind.SNAPSHOT,
    ),
    "claim without head-of-line": Caught(
        Mutant("database:due_outbox", "held.outbox_id < o.outbox_id", "false"),
        scenarios.two_claimers,
        Kind.STREAM,
        also=Mutant("database:due_messages", "tried.outbox_id < f.outbox_id", "false"),
    ),
    "same message id on refill": Caught(
        Mutant("sql:shards.start_refills", "generation = generation + 1", "generation = generation"),
        scenarios.a_restored_database,
        Kind.STREAM,
    ),
    "narrow time-out catch": Caught(
        Mutant(
            "engine.runtime.loop:_one_pass", "except Exception as error:", "except PlaylogError as error:"
        ),
        scenarios.a_statement_that_takes_too_long,
        Kind.SNAPSHOT,
    ),
    "application clock for leases": Caught(
        Mutant(
            "database:due_outbox",
            "o.leased_until <= (select clock_timestamp())",
            "o.leased_until <= (select clock_timestamp() + interval '1 hour')",
        ),
        scenarios.two_claimers,
        Kind.LEASE,
        also=Mutant(
            "database:due_of_shard",
            "leased_until <= (select clock_timestamp())",
            "leased_until <= (select clock_timestamp() + interval '1 hour')",
        ),
    ),
    "purge by age only": Caught(
        Mutant(
            "engine.write.retention:_reasons",
            "rows = await connection.fetch(SQL.proof, leaf.low_id, leaf.high_id, cutoff)",
            "rows = []",
        ),
        scenarios.a_purge_of_what_only_looks_old,
        Kind.ACKNOWLEDGED,
    ),
}
SCENARIOS = sorted({each.scenario for each in MUTANTS.values()}, key=lambda scenario: scenario.__name__)


@pytest.fixture(autouse=True)
def plans_are_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    follow_plans(monkeypatch)
    monkeypatch.setattr(projector.role, "BATCH", 1)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
async def test_the_product_as_it_is_keeps_every_promise(
    scenario: Scenario, database_url: str, nats_url: str
) -> None:
    assert await broken_promises(scenario, database_url, nats_url) == set()


@pytest.mark.parametrize("name", MUTANTS)
async def test_a_mutant_is_caught(
    name: str, database_url: str, nats_url: str, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    caught = MUTANTS[name]
    for mutant in filter(None, (caught.mutant, caught.also)):
        await mutant.seed(monkeypatch, connection)
    found = await broken_promises(caught.scenario, database_url, nats_url)
    assert caught.broken in found, found
    assert Kind.VACUOUS not in found


async def broken_promises(scenario: Scenario, database_url: str, nats_url: str) -> set[Kind]:
    async with running_town(database_url, nats_url) as town:
        faults = await scenario(town)
        _, found = await inspect(town.connection, nats_url, town.ledger, faults=faults)
        return {each.kind for each in found}
