"""What the `with` of each built-in tool holds, in one model for validator, editors and workers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from engine.language import durations
from engine.language.expressions.types import BOOL, DYN, INT, NULL, STRING, MapType, Type


class ToolInput(BaseModel):
    """The `with` of a step: strict types, unknown keys are errors."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, hide_input_in_errors=True, use_attribute_docstrings=True
    )


def _seconds(value: object) -> float:
    try:
        return durations.seconds(durations.normalize(value if isinstance(value, str) else ""))
    except ValueError:
        raise ValueError("a duration such as '500ms', '30s' or '1h30m' is needed") from None


Duration = Annotated[
    float,
    BeforeValidator(_seconds),
    WithJsonSchema({"type": "string", "pattern": durations.PATTERN, "minLength": 2}),
]
"""Seconds, written as `500ms`, `30s`, `5m`, `1h30m` or `2d`."""

Scalar = str | int | float | bool
Method = Annotated[
    Literal["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"],
    BeforeValidator(lambda value: value.upper() if isinstance(value, str) else value),
]
Status = Annotated[int, Field(ge=100, le=599)]


class HttpInput(ToolInput):
    """One HTTP request."""

    method: Method = "GET"
    """What is asked of the server."""
    url: str
    """Absolute, http or https."""
    headers: dict[str, str | int | float] = Field(default_factory=dict)
    """Header names and values."""
    query: dict[str, Scalar | list[Scalar] | None] = Field(default_factory=dict)
    """What stands behind the `?`: a list repeats the name, null leaves it out."""
    body: JsonValue = None
    """What is sent, as JSON."""
    text: str | None = None
    """What is sent, as it is."""
    timeout: Duration | None = None
    """How long the whole exchange may take."""
    expect: Status | list[Status] | None = None
    """The statuses that complete the step, instead of all below 400."""

    @field_validator("url")
    @classmethod
    def _check_url(cls, value: str) -> str:
        url = urlsplit(value)
        if url.scheme not in {"http", "https"} or not url.hostname:
            raise ValueError("an absolute http:// or https:// address is needed")
        return value

    @field_validator("headers")
    @classmethod
    def _check_headers(cls, value: dict[str, str | int | float]) -> dict[str, str | int | float]:
        for name, content in value.items():
            if not name or not all(c.isalnum() or c in "!#$%&'*+-.^_`|~" for c in name) or not name.isascii():
                raise ValueError(f"{name!r} is no header name")
            if any(c in "\r\n\x00" for c in str(content)):
                raise ValueError(f"{name}: a header value holds no line breaks")
        return value

    @model_validator(mode="after")
    def _check_body(self) -> HttpInput:
        if self.has_json and self.text is not None:
            raise ValueError("body and text exclude each other")
        return self

    @property
    def has_json(self) -> bool:
        """Whether a JSON body was given; null is one."""
        return "body" in self.model_fields_set


class PythonInput(ToolInput):
    """One call of a Python function."""

    call: str = Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_][\w.]*$")
    """The function, as `module:function`."""
    args: dict[str, JsonValue] = Field(default_factory=dict)
    """Its keyword arguments."""


class ShellInput(ToolInput):
    """One program or script."""

    command: Annotated[list[str], Field(min_length=1)] | Annotated[str, Field(min_length=1)]
    """A program and its arguments as a list, or a script for `/bin/sh` as text."""
    args: list[str | int | float] = Field(default_factory=list)
    """What a script sees as `$1`, `$2` ..."""
    env: dict[str, str | int | float] = Field(default_factory=dict)
    """Variables next to PATH, HOME and LANG."""
    stdin: JsonValue = None
    """What it reads: text as it is, any other value as JSON."""
    cwd: str | None = None
    """The directory it runs in."""

    @model_validator(mode="after")
    def _check(self) -> ShellInput:
        if isinstance(self.command, list) and self.args:
            raise ValueError("args go with a script; add them to the command list instead")
        if any(not name or "=" in name for name in self.env):
            raise ValueError("env: a name is empty or holds '='")
        words = [*self.argv(), *self.env, *(str(v) for v in self.env.values()), self.cwd or ""]
        if any("\x00" in word for word in words):
            raise ValueError("a NUL character cannot be passed to a process")
        return self

    def argv(self) -> list[str]:
        """Return the argument list to execute."""
        if isinstance(self.command, list):
            return self.command
        return ["/bin/sh", "-c", self.command, "sh", *(str(a) for a in self.args)]


class PlaybookInput(ToolInput):
    """One child execution."""

    playbook: Annotated[str, Field(min_length=1, max_length=200)]
    """The path of a registered playbook."""
    version: Annotated[int, Field(ge=1)] | None = None
    """Which version of it; without one, the newest when the child starts."""
    inputs: dict[str, JsonValue] = Field(default_factory=dict)
    """What it is given."""


@dataclass(frozen=True, slots=True)
class Tool:
    """What a tool takes as its `with` and what it gives as its output, as far as that is known."""

    takes: type[ToolInput] | None = None
    gives: Type = DYN


BUILTIN_TOOLS: Mapping[str, Tool] = {
    "http": Tool(HttpInput, MapType({"status": INT, "headers": MapType(others=STRING), "body": DYN})),
    "noop": Tool(None, NULL),
    "playbook": Tool(PlaybookInput),
    "python": Tool(PythonInput),
    "shell": Tool(
        ShellInput, MapType({"exit_code": INT, "stdout": STRING, "stderr": STRING, "truncated": BOOL})
    ),
}
"""The tools that every worker has."""
