"""What a test of a playbook costs: the orders example read, and run in memory with scripted tools."""

from __future__ import annotations

import time
from pathlib import Path

from bench.figures import show
from playbooks import examples
from playlog.testing import fail, given

ORDERS = Path(examples.__file__).with_name("orders.yaml")
ORDERED = [{"item": "tea", "quantity": number} for number in range(20)]
RESULTS: dict[str, object] = {
    "fetch": [fail("http_status", status=503), {"body": {"orders": ORDERED}}],
    "price": {"orders": ORDERED, "total": 400},
    "publish": None,
}


async def run(*, quick: bool) -> None:
    """Print milliseconds to read and check the source, for the first run after that, and for each other."""
    rounds = 20 if quick else 200
    read, ran = [], []
    for _ in range(rounds):
        began = time.perf_counter()
        scenario = (
            given(ORDERS, day="2026-01-02").with_results(**RESULTS).with_signal("approved", after="30m")
        )
        parsed = time.perf_counter()
        if scenario.run().status != "completed":
            raise AssertionError("the orders have not completed")
        ran.append((time.perf_counter() - parsed) * 1000)
        read.append((parsed - began) * 1000)
    show("kit.read", read, "ms")
    show("kit.first_run", ran[:1], "ms")
    show("kit.run", ran[1:], "ms")
