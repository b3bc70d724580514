"""`python -m sql up` applies the migrations, `status` lists them, `roles` lets a role read the views.

Exit code 0: done, nothing is pending; 1: refused, or something is pending; 2: no database given or reached.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from typing import TYPE_CHECKING

import asyncpg

from sql.migration import MigrationError
from sql.runner import make_roles, migrate, status

if TYPE_CHECKING:
    from collections.abc import Sequence

_HELP = "apply what is pending, list everything, or let the role playlog_reader read the views"
_VARIABLES = ("PLAYLOG_MIGRATION_DATABASE_URL", "PLAYLOG_DATABASE_URL")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb and return the exit code; the output is one line a migration."""
    parser = argparse.ArgumentParser(prog="python -m sql", description="Migrate the database of playlog.")
    parser.add_argument("verb", choices=[*_VERBS], help=_HELP)
    verb: str = parser.parse_args(arguments).verb
    dsn = next((value for name in _VARIABLES if (value := os.environ.get(name))), None)
    if dsn is None:
        return _fail(f"set {_VARIABLES[0]} (a direct connection) or {_VARIABLES[1]}", 2)
    try:
        return asyncio.run(_VERBS[verb](dsn))
    except MigrationError as error:
        return _fail(str(error), 1)
    except (OSError, TimeoutError, ValueError, asyncpg.InterfaceError, asyncpg.PostgresError) as error:
        return _fail(f"the database cannot be used: {str(error) or type(error).__name__}", 2)


async def _up(dsn: str) -> int:
    for name in await migrate(dsn):
        _say(f"applied  {name}")
    _say("the database is up to date")
    return 0


async def _status(dsn: str) -> int:
    found = await status(dsn)
    for each in found:
        when = f"  {each.applied_at:%Y-%m-%d %H:%M:%S%z}" if each.applied_at else ""
        _say(f"{each.state:8} {each.name}{when}")
    return int(any(each.state in {"pending", "edited"} for each in found))


async def _roles(dsn: str) -> int:
    await make_roles(dsn)
    _say("playlog_reader may read the views")
    return 0


_VERBS = {"up": _up, "status": _status, "roles": _roles}


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def _fail(message: str, code: int) -> int:
    sys.stderr.write(f"{message}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
