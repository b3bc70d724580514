"""Databases for the migration tests: one that no migration has touched, and folders of migrations."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

_numbers = itertools.count(1)


@pytest.fixture
async def empty_database(database_url: str) -> AsyncIterator[str]:
    """The DSN of a new database without a schema, dropped afterwards."""
    parts = urlsplit(database_url)
    name = f"{parts.path.removeprefix('/')}_empty_{next(_numbers)}"
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute(f'CREATE DATABASE "{name}" TEMPLATE template0')
        yield urlunsplit(parts._replace(path=f"/{name}"))
        await connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
    finally:
        await connection.close()


@pytest.fixture
def write_migrations(tmp_path: Path) -> Callable[[dict[str, str]], Path]:
    """A function that writes migrations (name to text) into the test's folder and returns the folder."""
    folder = tmp_path / "migrations"
    folder.mkdir()

    def write(texts: dict[str, str]) -> Path:
        for name, text in texts.items():
            (folder / f"{name}.sql").write_text(text)
        return folder

    return write
