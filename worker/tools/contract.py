"""What every tool is: an async function from a validated input to JSON, or a named failure."""

from __future__ import annotations

import difflib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from pydantic import ValidationError

from engine.language.tools import ToolInput
from worker.masking import NO_MASK, Mask

MESSAGE_LIMIT = 2_000
IDEMPOTENCY_VARIABLE = "PLAYLOG_IDEMPOTENCY_KEY"


class ToolFailed(Exception):  # noqa: N818  # named as the fact it reports
    """An attempt failed: `code` is what `retry.on` sees, `status` an HTTP or exit status."""

    def __init__(self, code: str, message: str, *, status: int | None = None, details: object = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        self.details = details


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolContext:
    """Which attempt a tool runs for; `log(stream, line)` keeps a line of its output.

    `idempotency_key` is printable text of at most 200 bytes, the same for every attempt at the same thing.
    What a tool returns, fails with or logs is masked afterwards; what it cuts, it masks before with `mask`.
    """

    command_id: str
    execution_id: str
    step: str
    attempt: int
    traceparent: str | None
    idempotency_key: str
    log: Callable[[str, str], None]
    mask: Mask = NO_MASK


Tool = Callable[[object, ToolContext], Awaitable[object]]


_Input = TypeVar("_Input", bound=ToolInput)


def read_input(model: type[_Input], value: object) -> _Input:
    """Validate a tool's input; raises `ToolFailed` (`validation`) that names every fault."""
    if not isinstance(value, dict):
        raise ToolFailed("validation", f"with: an object is needed, not {_kind(value)}")
    try:
        return model.model_validate(value)
    except ValidationError as error:
        faults = [_fault(model, e["type"], e["loc"], e["msg"]) for e in error.errors(include_url=False)]
        raise ToolFailed("validation", "; ".join(faults), details={"faults": faults}) from None


def _kind(value: object) -> str:
    return "null" if value is None else type(value).__name__


def _fault(model: type[ToolInput], kind: str, loc: tuple[int | str, ...], message: str) -> str:
    path = ".".join(["with", *(str(part) for part in loc)])
    if kind != "extra_forbidden":
        return f"{path}: {message.removeprefix('Value error, ')}"
    near = difflib.get_close_matches(str(loc[-1]), model.model_fields, n=1)
    hint = f", did you mean {near[0]}" if near else ""
    return f"{path}: unknown key{hint}"
