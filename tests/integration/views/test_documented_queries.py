"""Every query of the how-to runs as the reader, on executions of every kind, and tells what it says."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.tree import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.some_executions import SomeExecutions

    Rows = list[dict[str, Any]]

PAGE = (ROOT / "docs" / "howto" / "query-with-sql.md").read_text()
QUERIES = dict(re.findall(r"^### (.+?)\n\n```sql\n(.+?)```", PAGE, re.MULTILINE | re.DOTALL))


def of(rows: Rows, **wanted: object) -> dict[str, Any]:
    """The one row with these values."""
    (found,) = [row for row in rows if wanted.items() <= row.items()]
    return found


def percent(rows: Rows, ids: dict[str, int]) -> bool:
    row = of(rows, playbook="t/two")
    return (row["ended"], row["not_completed"], float(row["percent"])) == (3, 1, 33.3) and bool(ids)


CHECKS: dict[str, Callable[[Rows, dict[str, int]], bool]] = {
    "What has waited longest": lambda rows, ids: (
        of(rows, execution_id=ids["asking"])["owner"] == "signal:answer"
        and of(rows, execution_id=ids["slow"])["what"] == "claim"
        and of(rows, execution_id=ids["foreign"])["owner"] == "outside"
        and of(rows, execution_id=ids["paused"], what="resume")["owner"] == "operator"
    ),
    "Who has the next move": lambda rows, _: (
        of(rows, owner="pool:gpu")["waits"] == 1 and of(rows, owner="operator", what="claim")["waits"] == 1
    ),
    "The slowest steps": lambda rows, _: of(rows, playbook="t/two", step="first")["runs"] == 2,
    "How many executions fail": percent,
    "What they fail of": lambda rows, _: (
        of(rows, playbook="t/two")["error_code"] == "boom" and rows[0]["example"] == "it broke"
    ),
    "Steps that are tried more than once": lambda rows, _: (
        [(row["step"], row["attempts"], row["retries"], row["errors"]) for row in rows]
        == [("try", 2, 1, "boom")]
    ),
    "How long commands queue, by pool": lambda rows, _: (
        of(rows, pool="gpu")["open"] == 2 and of(rows, pool="default")["p95"] > 0
    ),
    "What a worker did": lambda rows, ids: (
        of(rows, execution_id=ids["slow"])["status"] == "running" and len(rows) == 1
    ),
    "The attempts of one execution": lambda rows, _: (
        [(row["attempt"], row["status"], row["worker"]) for row in rows]
        == [(1, "failed", "w1"), (2, "completed", "w1")]
        and all(row["run_seconds"] > 0 for row in rows)
    ),
    "Executions by label": lambda rows, _: (
        {(row["tenant"], row["status"]): row["executions"] for row in rows}
        == {("acme", "completed"): 3, ("acme", "failed"): 1}
    ),
    "Throughput by the hour": lambda rows, _: sum(row["executions"] for row in rows) == 6,
    "Snapshots behind the log": lambda rows, ids: (
        [(row["execution_id"], row["events_behind"]) for row in rows] == [(ids["behind"], 2)]
    ),
    "The largest executions": lambda rows, ids: rows[0]["execution_id"] == ids["map"],
    "Signals that nobody has taken": lambda rows, ids: (
        [(row["execution_id"], row["name"], row["signals"]) for row in rows] == [(ids["asking"], "other", 1)]
        and rows[0]["oldest"] is not None
    ),
    "The children of an execution": lambda rows, ids: (
        [(row["execution_id"], row["parent_step"], row["status"]) for row in rows]
        == [(ids["child"], "call", "completed")]
    ),
    "The events of one execution, in order": lambda rows, _: (
        [row["event_type"] for row in rows][:3] == ["execution.started", "command.issued", "command.failed"]
        and [row["version"] for row in rows] == list(range(1, len(rows) + 1))
    ),
    "Open incidents": lambda rows, _: of(rows, kind="pool_without_workers")["subject"] == "gpu",
    "Maps with items that failed": lambda rows, ids: (
        [(row["execution_id"], row["items_total"], row["items_failed"]) for row in rows]
        == [(ids["map"], 3, 1)]
    ),
}
NAMED = {"The children of an execution": "parent"}


def test_the_page_has_no_query_without_a_check() -> None:
    assert list(QUERIES) == [*CHECKS]
    assert len(QUERIES) >= 15


@pytest.mark.parametrize("title", QUERIES)
async def test_a_documented_query_tells_what_it_says(some: SomeExecutions, title: str) -> None:
    execution_id = some.ids[NAMED.get(title, "flaky")]
    query = QUERIES[title].replace(":execution_id", str(execution_id)).replace(":'worker'", "'w2'")
    rows = [dict(row) for row in await some.reader.fetch(query)]
    assert CHECKS[title](rows, some.ids), rows
