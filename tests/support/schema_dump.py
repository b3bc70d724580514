"""The schema as SQL that makes it again, from the catalog, the same on every server version."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import asyncpg

_QUERY = Path(__file__).with_suffix(".sql")
_HEAD = "-- The schema as the migrations leave it; written by `make schema`, never by hand.\n"
_HEAD += "set check_function_bodies = off;\n"  # they may call one another


async def dump(connection: asyncpg.Connection[asyncpg.Record]) -> str:
    """Describe every sequence, table, column, constraint, index, function and trigger of the schema.

    Views are left out: servers of different versions print the same one differently.
    """
    async with connection.transaction():
        # With an empty path the server qualifies every name, whoever asks.
        await connection.execute("set local search_path = ''")
        rows = await connection.fetch(_QUERY.read_text())
    objects = groupby(rows, key=lambda row: (row["section"], row["object"]))
    return "\n".join([_HEAD, *("".join(_lines(pieces)) for _, pieces in objects)])


def _lines(pieces: Iterable[asyncpg.Record]) -> Iterator[str]:
    for part, group in groupby(pieces, key=lambda row: int(row["part"])):
        texts = [str(row["text"]) for row in group]
        if part == 1:
            yield ",\n".join(f"    {text}" for text in texts) + "\n"
        else:
            yield from (f"{text}\n" for text in texts)
