"""Whatever the playbook and whatever befalls it: every execution ends once, in bounded work, as its log says.

A failing run is repeated by `RANDOM_SEED=<the seed it tells>`; `CHAOS=long` tries forty times as many.
"""

from __future__ import annotations

import os
import sys
from random import Random
from time import time_ns

import pytest

from tests.support.random_playbooks import family
from tests.support.random_world import RandomWorld

SHARES = 10
EXECUTIONS = 20_000 if os.environ.get("CHAOS") == "long" else 500


def seeds(share: int) -> list[int]:
    """The seeds of one share: the one asked for, or as many as are wanted from the clock on."""
    asked = os.environ.get("RANDOM_SEED")
    if asked is not None:
        return [int(asked)] if share == 0 else []
    first = time_ns() // 10**6 % 10**9 * 1000
    return list(range(first, first + EXECUTIONS // SHARES))


@pytest.mark.timeout(0 if EXECUTIONS > 500 else 300)
@pytest.mark.parametrize("share", range(SHARES))
def test_a_random_playbook_keeps_the_laws_whatever_befalls_it(share: int) -> None:
    recorded = crashes = 0
    tried = seeds(share)
    for seed in tried:
        try:
            rng = Random(seed)
            world = RandomWorld(rng, family(rng))
            world.run()
        except Exception as error:
            error.add_note(f"RANDOM_SEED={seed} repeats it")
            raise
        recorded += sum(len(stream.log) for stream in world.streams.values())
        crashes += world.crashes
    sys.stdout.write(f"{len(tried)} seeds from {tried[:1]} on: {recorded} events, {crashes} crashes\n")
