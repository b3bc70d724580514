"""`python -m scheduler.purge` purges once, straight in the database: everything else may be down.

The policy's names are its options, such as `--event-retention-days 30 --dry-run`. It prints one JSON
document. Exit code 0: done; 1: the database cannot be used; 2: wrong usage or settings.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from dataclasses import asdict, fields

import orjson

from engine.errors import Misconfigured, PlaylogError
from engine.runtime import logs
from engine.runtime.database import classified, connect
from engine.runtime.settings import DatabaseSettings
from engine.runtime.settings_loading import load
from engine.write.purge import Policy, Purged, purge

NAME = "playlog-purge"
OK, FAILED, USAGE = 0, 1, 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Purge and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m scheduler.purge", description=Policy.__doc__)
    for each in fields(Policy):
        option = f"--{each.name.replace('_', '-')}"
        if isinstance(each.default, bool):
            parser.add_argument(option, action="store_true")
        else:
            parser.add_argument(option, type=int, default=each.default)
    policy = Policy(**vars(parser.parse_args(arguments)))
    logs.configure(NAME, level="error")
    try:
        purged = asyncio.run(_purge(policy))
    except PlaylogError as error:
        sys.stderr.write(f"{error.detail}\n")
        return USAGE if isinstance(error, Misconfigured) else FAILED
    sys.stdout.write(f"{orjson.dumps(asdict(purged)).decode()}\n")
    return OK


async def _purge(policy: Policy) -> Purged:
    connection = await connect(load(DatabaseSettings), name=NAME)
    try:
        with classified():
            return await purge(connection, policy)
    finally:
        await connection.close()


if __name__ == "__main__":
    sys.exit(main())
