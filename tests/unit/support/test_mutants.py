"""A mutant changes the product while it is applied, and fails where it no longer applies."""

from __future__ import annotations

import pytest

from engine.domain import ids
from sql import queries
from tests.support.mutants import Mutant


def test_a_function_is_changed_for_everyone_who_has_imported_it(monkeypatch: pytest.MonkeyPatch) -> None:
    shard_of = ids.shard_of
    before = shard_of(17)
    with monkeypatch.context() as patch:
        Mutant("engine.domain.ids:shard_of", "return ", "return -").apply(patch)
        assert shard_of(17) != before
    assert shard_of(17) == before


def test_a_statement_is_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        Mutant("sql:outbox.delete_published", "delete from", "delete  from").apply(patch)
        assert queries.load("outbox").delete_published.startswith("delete  from")
    assert queries.load("outbox").delete_published.startswith("delete from")


@pytest.mark.parametrize("where", ["engine.domain.ids:shard_of", "sql:outbox.delete_published"])
def test_a_mutant_that_no_longer_applies_fails(monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    with pytest.raises(AssertionError, match="does not hold this once"):
        Mutant(where, "something that is not there", "").apply(monkeypatch)
