"""A connection that breaks at a chosen call, before the server sees it or after it has answered."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import asyncpg

T = TypeVar("T")


@dataclass(slots=True)
class Plan:
    """Break at call number `at` (from 1), `after` the server has done it or before; then no more.

    With a `text` only the statements that begin with it count.
    """

    at: int = 0
    after: bool = False
    calls: int = 0
    fired: bool = False
    text: str = ""

    def arm(self, at: int, *, after: bool, text: str = "") -> None:
        self.at, self.after, self.calls, self.fired, self.text = at, after, 0, False, text


class CrashingConnection(asyncpg.Connection):
    """Counts every statement, BEGIN and COMMIT among them, and follows its plan."""

    plan: Plan

    async def execute(self, query: str, *args: Any, **more: Any) -> str:
        return await self._counted(
            query, lambda: super(CrashingConnection, self).execute(query, *args, **more)
        )

    async def fetch(  # type: ignore[override]
        self, query: str, *args: Any, **more: Any
    ) -> list[asyncpg.Record]:
        return await self._counted(query, lambda: super(CrashingConnection, self).fetch(query, *args, **more))

    async def fetchrow(  # type: ignore[override]
        self, query: str, *args: Any, **more: Any
    ) -> asyncpg.Record | None:
        return await self._counted(
            query, lambda: super(CrashingConnection, self).fetchrow(query, *args, **more)
        )

    async def fetchval(self, query: str, *args: Any, **more: Any) -> object:
        return await self._counted(
            query, lambda: super(CrashingConnection, self).fetchval(query, *args, **more)
        )

    async def copy_records_to_table(self, table_name: str, **more: Any) -> str:
        return await self._counted(
            f"copy {table_name}",
            lambda: super(CrashingConnection, self).copy_records_to_table(table_name, **more),
        )

    async def _counted(self, query: str, call: Callable[[], Awaitable[T]]) -> T:
        plan = self.plan
        plan.calls += query.startswith(plan.text)
        crash = not plan.fired and plan.calls == plan.at and query.startswith(plan.text)
        if crash and not plan.after:
            self._break(plan)
        answer = await call()
        if crash:
            self._break(plan)
        return answer

    def _break(self, plan: Plan) -> None:
        plan.fired = True
        self.terminate()
        raise asyncpg.ConnectionDoesNotExistError("the test broke the connection")


def crashing(plan: Plan) -> type[CrashingConnection]:
    """A connection class of its own, so that plans of two tests never meet."""
    return type("PlannedConnection", (CrashingConnection,), {"plan": plan})
