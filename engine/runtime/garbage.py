"""How often Python looks for cycles in a process that holds many small objects for the length of a batch."""

from __future__ import annotations

import gc

YOUNG_OBJECTS = 20_000
"""A batch of 500 events is about 5,000 containers: with the default of 700 each is walked several times."""


def collect_less_often() -> None:
    """Leave what the imports made out of all collections, and collect when a few batches could be garbage."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, *gc.get_threshold()[1:])
