"""A view that is asked for one execution reads its partition by index."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.support.servers import Connection

VIEWS = ("v_event", "v_execution", "v_step", "v_attempt", "v_wait", "v_signal")


async def plan_of(connection: Connection, view: str, condition: str) -> str:
    rows = await connection.fetch(f"explain select * from playlog.{view} where {condition}")
    return "\n".join(row[0] for row in rows)


async def test_one_execution_is_read_by_index_and_in_one_partition(connection: Connection) -> None:
    """The tables are empty: the planner is kept from reading them whole where it need not."""
    await connection.execute("set enable_seqscan = off")
    (execution_id,) = await connection.fetchval("select playlog.new_ids(1)")
    for view in VIEWS:
        plan = await plan_of(connection, view, f"execution_id = {execution_id}")
        assert not re.search(r"Seq Scan on (event|execution|snapshot|command)", plan), plan
        assert re.search(r"Index Cond: \(execution_id = ", plan), plan
        if view in {"v_event", "v_attempt"}:
            assert len(set(re.findall(r"on (event_\w+)", plan))) == 1, plan


async def test_a_bound_by_time_leaves_earlier_partitions_out(connection: Connection) -> None:
    for view in ("v_event", "v_attempt"):
        plan = await plan_of(
            connection, view, "execution_id >= playlog.first_id_at(now() + interval '40 days')"
        )
        assert "Subplans Removed" in plan, plan
        assert "event_low" not in plan, plan
