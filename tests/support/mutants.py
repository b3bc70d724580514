"""Seeded faults of the product: a piece of its text is exchanged while a test runs.

The piece must be there exactly once, so that a mutant which no longer applies fails instead of passing.
"""

from __future__ import annotations

import importlib
import inspect
import textwrap
from dataclasses import dataclass
from types import FunctionType

import asyncpg
import pytest

from sql import queries


@dataclass(frozen=True, slots=True)
class Mutant:
    """In a function (`module:name`), a statement (`sql:noun.name`) or a function of the database
    (`database:name`), `old` is replaced by `new`.
    """

    where: str
    old: str
    new: str

    async def seed(self, monkeypatch: pytest.MonkeyPatch, connection: asyncpg.Connection) -> None:
        """Change the product until the test ends; the database of the connection goes with the test."""
        place, _, name = self.where.partition(":")
        if place == "database":
            text = await connection.fetchval(
                "select pg_get_functiondef($1::text::regproc)", f"playlog.{name}"
            )
            await connection.execute(self._changed(text))
        else:
            self.apply(monkeypatch)

    def apply(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Change the text of the processes until the test ends."""
        place, _, name = self.where.partition(":")
        if place == "sql":
            noun, _, statement = name.partition(".")
            statements = queries.load(noun)._statements
            monkeypatch.setitem(statements, statement, self._changed(statements[statement]))
            return
        function: object = importlib.import_module(place)
        for part in name.split("."):
            function = getattr(function, part)
        assert isinstance(function, FunctionType)
        monkeypatch.setattr(function, "__code__", self._recompiled(function))

    def _changed(self, text: str) -> str:
        assert text.count(self.old) == 1, f"{self.where} does not hold this once: {self.old}"
        return text.replace(self.old, self.new)

    def _recompiled(self, function: FunctionType) -> object:
        source = self._changed(textwrap.dedent(inspect.getsource(function)))
        names: dict[str, FunctionType] = {}
        # The future of this module, annotations, is that of every module.
        exec(compile(source, f"<mutant of {self.where}>", "exec"), function.__globals__, names)
        return names[function.__name__].__code__
