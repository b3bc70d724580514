"""Loads the named statements of `queries/<noun>.sql`, so that SQL stays SQL and has one place."""

from __future__ import annotations

import difflib
import functools
import re
from importlib import resources
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from importlib.resources.abc import Traversable

FOLDER: Traversable = resources.files("sql") / "queries"
_BLOCK = re.compile(r"^-- name:[ \t]*(?P<name>.*)$", re.MULTILINE)
_VERB = re.compile(r"[a-z][a-z0-9_]*")


class QueryFileError(ValueError):
    """A file of named statements is missing or breaks the format."""


class Queries:
    """The statements of one noun, each an attribute: `load("outbox").claim` is SQL text.

    Iterating gives the names in the order of the file; an unknown name is an `AttributeError`.
    """

    __slots__ = ("_noun", "_statements")

    def __init__(self, noun: str, statements: Mapping[str, str]) -> None:
        self._noun = noun
        self._statements = dict(statements)

    def __getattr__(self, name: str) -> str:
        try:
            return self._statements[name]
        except KeyError:
            near = difflib.get_close_matches(name, self._statements, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            message = f"queries/{self._noun}.sql has no statement named {name}{hint}"
            raise AttributeError(message) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._statements)

    def __len__(self) -> int:
        return len(self._statements)


@functools.cache
def load(noun: str) -> Queries:
    """Read `queries/<noun>.sql` once and return its statements.

    Raises `QueryFileError` for a missing file, a repeated or badly spelled name, a statement without
    its describing line, and an empty statement.
    """
    file = FOLDER / f"{noun}.sql"
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise QueryFileError(f"queries/{noun}.sql cannot be read: {error}") from error
    return Queries(noun, parse(noun, text))


def nouns() -> list[str]:
    """Return the name of every file of statements, sorted."""
    return sorted(
        entry.name.removesuffix(".sql") for entry in FOLDER.iterdir() if entry.name.endswith(".sql")
    )


def parse(noun: str, text: str) -> dict[str, str]:
    """Split the text of `<noun>.sql` into statements by name; before the first only comments may stand."""
    parts = _BLOCK.split(text)
    _only_comments(noun, parts[0])
    statements: dict[str, str] = {}
    for name, body in zip(parts[1::2], parts[2::2], strict=True):
        verb = name.strip()
        if not _VERB.fullmatch(verb):
            raise QueryFileError(
                f"queries/{noun}.sql: {verb!r} is not a name (lower case, digits, underscores)"
            )
        if verb in statements:
            raise QueryFileError(f"queries/{noun}.sql: {verb} is defined twice")
        statements[verb] = _statement(noun, verb, body)
    if not statements:
        raise QueryFileError(f"queries/{noun}.sql holds no `-- name:` block")
    return statements


def _only_comments(noun: str, text: str) -> None:
    for line in text.splitlines():
        if line.strip() and not line.startswith("--"):
            raise QueryFileError(
                f"queries/{noun}.sql: text before the first `-- name:` line: {line.strip()!r}"
            )


def _statement(noun: str, verb: str, body: str) -> str:
    description, _, rest = body.removeprefix("\n").partition("\n")
    if not description.startswith("-- ") or not description[3:].strip():
        raise QueryFileError(f"queries/{noun}.sql: {verb} needs one describing comment line under its name")
    statement = rest.strip().removesuffix(";").rstrip()
    if not statement:
        raise QueryFileError(f"queries/{noun}.sql: {verb} has no statement")
    return statement
