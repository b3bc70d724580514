"""`python -m bench NAME [--quick]` runs one benchmark and prints a JSON line a figure."""

from __future__ import annotations

import argparse
import asyncio
import importlib

import uvloop

BENCHMARKS = {
    "append": "foreign events into the log, against COPY of the same rows",
    "redelivery": "batches that are all in the log already, against the same batches when they were new",
    "group_commit": "32 requests of one event at a time, against one transaction each",
    "steps": "1,000 executions of three steps from end to end, and how long one takes",
    "drain": "the outbox to JetStream against a bare loop, and what a claim costs at 1,000,000 waiting",
    "pending_count": "counting and claiming over HTTP while a million messages wait",
    "partitions": "the longest wait of an append while a partition is made or purged",
    "concurrency": "what a concurrency key costs, beside a line of 1,000,000 commands and in it",
    "subjects": "a stream with a subject an execution against one with a subject a shard",
    "kit": "trying the orders playbook out in memory, with scripted tools",
    "maps": "an item of a long map and a round of a long repeat, against short ones",
    "waiting": "what 1,000 waiting requests and 500 idle streams cost the database",
    "expressions": "what guards and templates cost, and how long a hostile expression holds on",
}


def main() -> None:
    """Run what the command line names."""
    lines = "\n".join(f"  {name:12} {about}" for name, about in BENCHMARKS.items())
    parser = argparse.ArgumentParser(
        prog="python -m bench",
        description=__doc__,
        epilog=f"benchmarks:\n{lines}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", choices=BENCHMARKS, nargs="*", default=list(BENCHMARKS))
    parser.add_argument("--quick", action="store_true", help="smaller sizes, under a minute")
    asked = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        for name in asked.name:
            runner.run(importlib.import_module(f"bench.{name}").run(quick=asked.quick))


if __name__ == "__main__":
    main()
