"""`eventually` waits for an assertion to hold, and for nothing else."""

from __future__ import annotations

import itertools

import pytest

from tests.support.eventually import eventually


async def test_it_asks_again_until_the_assertion_holds() -> None:
    numbers = itertools.count(1)

    def check() -> int:
        number = next(numbers)
        assert number == 3
        return number

    assert await eventually(check) == 3


async def test_it_awaits_an_asynchronous_check() -> None:
    numbers = itertools.count(1)

    async def check() -> int:
        number = next(numbers)
        assert number == 2
        return number

    assert await eventually(check) == 2


async def test_the_last_failed_assertion_is_raised_in_the_end() -> None:
    def check() -> None:
        raise AssertionError("never")

    with pytest.raises(AssertionError, match="never"):
        await eventually(check, timeout=0.05)


async def test_another_error_is_raised_at_once() -> None:
    def check() -> None:
        raise LookupError("broken")

    with pytest.raises(LookupError, match="broken"):
        await eventually(check)
