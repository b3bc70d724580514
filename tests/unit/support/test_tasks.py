"""A task that outlives its test is found."""

from __future__ import annotations

import asyncio

import pytest

from tests.support.tasks import no_leaked_tasks


async def test_a_task_left_running_fails_the_test_and_is_cancelled() -> None:
    async def leave_behind() -> asyncio.Task[bool]:
        async with no_leaked_tasks():
            return asyncio.create_task(asyncio.Event().wait(), name="forgotten")

    with pytest.raises(AssertionError, match="forgotten"):
        await leave_behind()
    assert "forgotten" not in {task.get_name() for task in asyncio.all_tasks()}


async def test_a_task_that_is_just_ending_is_no_leak() -> None:
    async with no_leaked_tasks():
        task = asyncio.create_task(asyncio.sleep(0.01))
    assert task.done()
