"""What every command has: where it prints, in which form, and which API it speaks to."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from enum import StrEnum

import orjson
from rich.console import Console, RenderableType

from engine.runtime.settings import ClientSettings
from engine.runtime.settings_loading import load
from playlog.cli.dev import record
from playlog.client import DEFAULT_URL, Client


class Output(StrEnum):
    """In which form a command answers."""

    TABLE = "table"
    JSON = "json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """One call of the command line."""

    output: Output = Output.TABLE
    api_url: str | None = None
    console: Console = field(default_factory=lambda: Console(highlight=False))
    errors: Console = field(default_factory=lambda: Console(highlight=False, stderr=True))

    @property
    def json(self) -> bool:
        """Whether the output is for a program."""
        return self.output is Output.JSON

    def client(self) -> Client:
        """A client of the API that was named, else of the one that runs in this directory."""
        settings = load(ClientSettings)
        running = record.read(record.HOME)
        local = DEFAULT_URL if running is None else running.public_api_url
        token = settings.api_token.get_secret_value() if settings.api_token else ""
        return Client(self.api_url or settings.api_url or local, token)

    def answer(self, document: object, *shown: RenderableType) -> None:
        """Print the document as JSON, or what is shown of it to people."""
        if self.json:
            self.line(document, orjson.OPT_INDENT_2)
            return
        for each in shown:
            self.console.print(each, soft_wrap=isinstance(each, str))

    def line(self, document: object, options: int = 0) -> None:
        """Print a document as JSON, on one line unless the options say otherwise."""
        sys.stdout.write(orjson.dumps(document, option=options | orjson.OPT_APPEND_NEWLINE).decode())
        sys.stdout.flush()

    def say(self, text: str, style: str = "") -> None:
        """Print one line for people; nothing for programs."""
        if not self.json:
            self.console.print(text, style=style, soft_wrap=True, markup=False)
