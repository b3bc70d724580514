"""A command as a worker holds it, the result it becomes, and the table of everything held."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from datetime import UTC, datetime

import orjson

from engine.domain.handles import Place

INLINE_BYTES = 64 * 1024
"""A larger output is kept as a payload, and its result refers to it."""

DEFAULT_SECONDS = 3600.0

Id = str | int


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A claimed step attempt; ids and token are kept as the API answered them.

    `handles` are the places in the input where a reference stands for its payload, `deferred` those where an
    expression stands to be evaluated. `expires_at` and `claimed_at` are on this machine's monotonic clock.
    """

    command_id: Id
    lease_token: Id
    execution_id: Id
    step: str
    attempt: int
    item: int | None
    tool: str
    input: object
    handles: tuple[Place, ...]
    deferred: tuple[Place, ...]
    traceparent: str | None
    idempotency_key: str
    claimed_at: float
    expires_at: float

    @property
    def key(self) -> str:
        """Return the id as text, whichever way the API wrote it."""
        return str(self.command_id)

    @property
    def reference(self) -> dict[str, Id]:
        """Return what names this claim in a request."""
        return {"command_id": self.command_id, "lease_token": self.lease_token}


def read_command(row: dict[str, object], now: float) -> Command:
    """Read one row of a claim answer; raises KeyError, TypeError or ValueError when it is malformed."""
    command_id, lease_token, execution_id = row["command_id"], row["lease_token"], row["execution_id"]
    item, traceparent, tool = row.get("item"), row.get("traceparent"), row["tool"]
    idempotency_key = row.get("idempotency_key")
    if not isinstance(command_id, Id) or not isinstance(lease_token, Id) or not isinstance(execution_id, Id):
        raise TypeError("ids and tokens are strings or integers")
    if not isinstance(tool, str):
        raise TypeError("the tool is a name")
    return Command(
        command_id=command_id,
        lease_token=lease_token,
        execution_id=execution_id,
        step=str(row.get("step") or ""),
        attempt=int(str(row.get("attempt") or 1)),
        item=item if isinstance(item, int) else None,
        tool=tool,
        input=row.get("input"),
        handles=_places(row, "handles"),
        deferred=_places(row, "deferred"),
        traceparent=traceparent if isinstance(traceparent, str) else None,
        idempotency_key=idempotency_key if isinstance(idempotency_key, str) else str(command_id),
        claimed_at=now,
        expires_at=now + _seconds_left(row),
    )


def _places(row: dict[str, object], kind: str) -> tuple[Place, ...]:
    places = row.get(kind)
    found = [] if places is None else places
    if not isinstance(found, list) or not all(isinstance(place, list) for place in found):
        raise TypeError(f"{kind} are a list of places")
    return tuple(found)


def _seconds_left(row: dict[str, object]) -> float:
    timeout, deadline = row.get("timeout_seconds"), row.get("deadline")
    if isinstance(timeout, int | float):
        return float(timeout)
    if isinstance(deadline, str):
        return (datetime.fromisoformat(deadline) - datetime.now(UTC)).total_seconds()
    return DEFAULT_SECONDS


@dataclass(slots=True, kw_only=True)
class Result:
    """How an attempt ended, as `body` for the API, about `size` bytes.

    `corrected` says that it stands for a first body that the API could not store.
    """

    command: Command
    body: dict[str, object]
    size: int = 0
    corrected: bool = False


def completed(command: Command, output: bytes, started_at: str) -> Result:
    """Return the result of a tool that returned; `output` is its JSON."""
    body = _body(command, "completed", started_at) | {"output": orjson.Fragment(output)}
    return Result(command=command, body=body, size=len(output))


def referring(command: Command, uri: str, started_at: str) -> Result:
    """Return the result of a tool whose output is kept as a payload at this address."""
    return Result(
        command=command,
        body=_body(command, "completed", started_at) | {"result_kind": "ref", "result_uri": uri},
    )


def failed(command: Command, error: dict[str, object], started_at: str) -> Result:
    """Return the result of an attempt that failed; `error` is `{code, message, status?, details?}`."""
    try:
        data = orjson.dumps(error)
    except TypeError:
        # Only text with lone surrogates and nesting beyond any limit get here.
        message = str(error["message"]).encode("utf-8", "replace").decode()
        data = orjson.dumps({"code": str(error["code"]), "message": message})
    body = _body(command, "failed", started_at) | {"error": orjson.Fragment(data)}
    return Result(command=command, body=body, size=len(data))


def _body(command: Command, status: str, started_at: str) -> dict[str, object]:
    return {
        "command_id": command.command_id,
        "lease_token": command.lease_token,
        "execution_id": command.execution_id,
        "status": status,
        "started_at": started_at,
    }


def now_iso() -> str:
    """Return the wall clock as the wire writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class Held:
    """Every command this worker has a lease on; the heartbeat thread reads it while the loop changes it."""

    def __init__(self) -> None:
        self._commands: dict[str, Command] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._commands)

    def add(self, command: Command) -> None:
        """Hold a command from now on."""
        with self._lock:
            self._commands[command.key] = command

    def remove(self, command: Command) -> None:
        """Forget a command that is settled, released or lost; an unknown one is no error.

        A released command can be claimed again before the release is answered: only the same lease counts.
        """
        with self._lock:
            if self.has(command):
                del self._commands[command.key]

    def has(self, command: Command) -> bool:
        """Whether the command is held under this very lease."""
        known = self._commands.get(command.key)
        return known is not None and known.lease_token == command.lease_token

    def snapshot(self) -> list[Command]:
        """Return what is held now."""
        with self._lock:
            return list(self._commands.values())


def age(command: Command) -> float:
    """Return the seconds since the command was claimed."""
    return time.monotonic() - command.claimed_at
