"""The migration files: their names, order, checksums, and what is still to be applied."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from importlib.resources.abc import Traversable

FOLDER: Traversable = resources.files("sql") / "migrations"
_NAME = re.compile(r"(?P<number>\d{4})_[a-z0-9]+(_[a-z0-9]+)*")
_DIRECTIVE = re.compile(r"--[ \t]*playlog:[ \t]*(?P<word>\S+)[ \t]*")
_DIRECTIVE_LINES = 5
_STATEMENT_END = re.compile(r";[ \t]*$", re.MULTILINE)


class MigrationError(Exception):
    """The migrations and the database do not fit together; the message says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One file: `name` is NNNN_words, `checksum` the sha256 of its text in hex."""

    name: str
    number: int
    text: str
    checksum: str
    in_transaction: bool

    def statements(self) -> list[str]:
        """Return the statements one by one, for a migration that runs outside a transaction.

        A statement ends with a semicolon at the end of a line.
        """
        parts = (part.strip() for part in _STATEMENT_END.split(self.text))
        return [part for part in parts if _is_code(part)]


def read(folder: Traversable = FOLDER) -> list[Migration]:
    """Read every migration of a folder in order.

    Raises `MigrationError` for a file with another kind of name, a gap or repetition in the numbers,
    an unknown directive, and a dollar-quoted body outside a transaction.
    """
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".sql"))
    migrations = [_read_one(folder, name.removesuffix(".sql")) for name in names]
    for expected, migration in enumerate(migrations, start=1):
        if migration.number != expected:
            raise MigrationError(f"{migration.name}: the next number must be {expected:04}")
    return migrations


def outstanding(migrations: Sequence[Migration], applied: Mapping[str, str]) -> list[Migration]:
    """Return what is still to be applied, given the checksums of what was, by name.

    Migrations of a newer build that are unknown here are left alone. Raises `MigrationError` for an
    edited or renamed file and for one that would be applied after a later one.
    """
    known = {migration.number: migration for migration in migrations}
    for name, checksum in applied.items():
        _check_applied(known.get(int(name[:4])), name, checksum)
    waiting = [migration for migration in migrations if migration.name not in applied]
    latest = max(applied, default="")
    if waiting and waiting[0].name < latest:
        raise MigrationError(
            f"{waiting[0].name} comes before {latest}, which is applied; give it the next number"
        )
    return waiting


def is_edited(migration: Migration, checksum: str) -> bool:
    """Say whether the file differs from what was applied."""
    return migration.checksum != checksum


def _check_applied(migration: Migration | None, name: str, checksum: str) -> None:
    if migration is None:
        return
    if migration.name != name:
        raise MigrationError(
            f"{name} was applied, but its file is now called {migration.name}; name it as before"
        )
    if is_edited(migration, checksum):
        raise MigrationError(
            f"{name} was edited after it was applied; restore the file and write a new migration"
        )


def _read_one(folder: Traversable, name: str) -> Migration:
    match = _NAME.fullmatch(name)
    if match is None:
        raise MigrationError(f"{name}.sql: a migration is called NNNN_words.sql, in lower case")
    # A checkout with other line ends is the same migration.
    text = (folder / f"{name}.sql").read_text(encoding="utf-8").replace("\r\n", "\n")
    in_transaction = not _outside_transaction(name, text)
    if not in_transaction and "$$" in text:
        raise MigrationError(
            f"{name}: a dollar-quoted body cannot be split; move it to a migration of its own"
        )
    return Migration(
        name=name,
        number=int(match["number"]),
        text=text,
        checksum=hashlib.sha256(text.encode()).hexdigest(),
        in_transaction=in_transaction,
    )


def _outside_transaction(name: str, text: str) -> bool:
    found = [_DIRECTIVE.fullmatch(line) for line in text.splitlines()[:_DIRECTIVE_LINES]]
    words = {match["word"] for match in found if match}
    if unknown := words - {"no-transaction"}:
        raise MigrationError(f"{name}: unknown directive {min(unknown)!r}; there is only no-transaction")
    return bool(words)


def _is_code(text: str) -> bool:
    return any(line.strip() and not line.lstrip().startswith("--") for line in text.splitlines())
