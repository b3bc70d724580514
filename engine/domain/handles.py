"""Large values: kept as payloads beside the log, passed on as handles, read only where an expression asks.

    worker ──▶ payload stored ──▶ command.completed {status, reference: {kind, uri, bytes}}
    expression passes it on    ──▶ the command or event holds {"reference": ...} and says at which places
    expression reads it        ──▶ loaded once while it has at most 256 KiB, else `value_too_large`

The places are told beside a value, never guessed from it: data of a tool that looks like a reference is data.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

from engine.domain.carried import carried_value
from engine.domain.expression import Deferred, ExpressionFailed

SCHEME = "payload:"
MOST_BYTES = 16 * 1024 * 1024
MOST_READ_BYTES = 256 * 1024
SHA256_HEX = re.compile(r"[0-9a-f]{64}")

_URI = re.compile(r"payload:([1-9][0-9]{0,18})/([0-9a-f]{64})")
_MAP_URI = re.compile(r"map:([1-9][0-9]{0,18})/([a-z][a-z0-9_]*)/([0-9]+)-([0-9]+)/(outputs|errors)")

Reference = Mapping[str, Any]
Place = Sequence[str | int]
"""The keys and indexes that lead to a part of a value; none leads to the whole."""


class PayloadKey(NamedTuple):
    """What addresses a payload: the execution it is kept for, and the hash of its bytes."""

    execution_id: int
    sha256: bytes

    @property
    def uri(self) -> str:
        """The address as references hold it."""
        return f"{SCHEME}{self.execution_id}/{self.sha256.hex()}"


def parse_uri(uri: object) -> PayloadKey | None:
    """The key of an address of ours; None for any other and for a malformed one."""
    found = _URI.fullmatch(uri) if isinstance(uri, str) else None
    return None if found is None else PayloadKey(int(found[1]), bytes.fromhex(found[2]))


class MapKey(NamedTuple):
    """What addresses the output of a map: its step, and the versions at which it was opened and closed.

    `what` is `outputs`, in item order with null for those given up, or `errors` of these.
    """

    execution_id: int
    step: str
    opened: int
    closed: int
    what: str = "outputs"

    @property
    def uri(self) -> str:
        """The address as references hold it."""
        return f"map:{self.execution_id}/{self.step}/{self.opened}-{self.closed}/{self.what}"


def parse_map_uri(uri: object) -> MapKey | None:
    """The key of the address of a map's output; None for any other."""
    found = _MAP_URI.fullmatch(uri) if isinstance(uri, str) else None
    return None if found is None else MapKey(int(found[1]), found[2], int(found[3]), int(found[4]), found[5])


def own_reference(payload: object) -> dict[str, Any] | None:
    """The reference of a result that is kept as a payload of ours; others are not ours to judge."""
    if not isinstance(payload, dict) or "reference" not in payload:
        return None
    reference = payload["reference"]
    uri = reference.get("uri") if isinstance(reference, dict) else None
    return reference if isinstance(uri, str) and uri.startswith(SCHEME) else None


def is_unconfirmed(payload: object) -> bool:
    """Whether a result refers to a payload that was not found: only those found are given their size."""
    reference = own_reference(payload)
    return reference is not None and type(reference.get("bytes")) is not int


class Handle:
    """A large value where an expression meets it; `named` is how errors call it, `fetch` gives the value.

    No dataclass on purpose: those would be written as JSON by accident, where only `written` may.
    """

    __slots__ = ("_fetch", "named", "reference")

    def __init__(self, reference: Reference, named: str, fetch: Callable[[str], object]) -> None:
        self.reference = reference
        self.named = named
        self._fetch = fetch

    @property
    def bytes(self) -> int:
        """The size of its JSON."""
        size: int = self.reference["bytes"]
        return size

    def open(self) -> object:
        """The value itself; raises `ExpressionFailed` when it is too large to be read."""
        if self.bytes > MOST_READ_BYTES:
            raise self.refused()
        return self._fetch(self.reference["uri"])

    def refused(self) -> ExpressionFailed:
        """The failure of reading what can only be passed on."""
        return ExpressionFailed(
            "value_too_large",
            f"{self.named} has {self.bytes} bytes, which cannot be read here (at most {MOST_READ_BYTES} can, "
            "by their path), only passed on whole",
        )


@dataclass(frozen=True, slots=True)
class Referring:
    """A value of the log with references to payloads at some places."""

    value: object
    places: Sequence[Place]

    def bound(self, named: str, fetch: Callable[[str], object]) -> object:
        """The value with handles at its places."""
        value = self.value
        for place in self.places:
            path = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in place)
            reference = reference_at(value, place)
            value = replaced(value, place, Handle(reference, named + path, fetch))
        return value


def held_value(event_type: str, payload: object) -> object:
    """The value that an event carries, `Referring` where parts of it are kept as payloads."""
    value = carried_value(event_type, payload)
    if not isinstance(payload, dict):
        return value
    places = payload.get("handles") or (((),) if own_reference(payload) else ())
    return Referring(value, places) if places else value


class Written(NamedTuple):
    """A value as JSON, with references in place of its handles, which stand at `places`.

    At the places `deferred` stand expressions with the values they name, for a worker to evaluate.
    """

    encoded: bytes
    places: list[Place]
    handles: list[Handle]
    deferred: list[Place]


def written(value: object) -> Written:
    """Encode what expressions gave."""
    met: list[Handle] = []
    deferred: list[Deferred] = []

    def refer(part: object) -> object:
        if isinstance(part, Deferred):
            deferred.append(part)
            return part.written()
        if not isinstance(part, Handle):
            raise TypeError(type(part).__name__)
        met.append(part)
        return {"reference": part.reference}

    encoded = orjson.dumps(value, default=refer)
    return Written(
        encoded,
        _places(value, Handle) if met else [],
        met,
        _places(value, Deferred) if deferred else [],
    )


def opened(value: object) -> object:
    """The value with every handle replaced by what it stands for; raises `ExpressionFailed`."""
    if isinstance(value, Handle):
        return value.open()
    if isinstance(value, dict):
        return {key: opened(part) for key, part in value.items()}
    if isinstance(value, list):
        return [opened(part) for part in value]
    return value


def replaced(value: Any, place: Place, part: object) -> object:  # noqa: ANN401  # any JSON
    """The value with another part at a place; what that does not touch is shared, nothing is changed."""
    if not place:
        return part
    copy = value.copy()
    copy[place[0]] = replaced(value[place[0]], place[1:], part)
    return copy


def reference_at(value: Any, place: Place) -> dict[str, Any]:  # noqa: ANN401  # any JSON
    """The reference that stands at a place."""
    for key in place:
        value = value[key]
    reference: dict[str, Any] = value["reference"]
    return reference


def _places(value: object, kind: type) -> list[Place]:
    return [list(place) for place in _found(value, kind, ())]


def _found(value: object, kind: type, at: tuple[str | int, ...]) -> Iterator[Place]:
    if isinstance(value, kind):
        yield at
    elif isinstance(value, Deferred):
        yield from _found(value.written(), kind, at)
    elif isinstance(value, Mapping):
        for key, part in value.items():
            yield from _found(part, kind, (*at, key))
    elif isinstance(value, list | tuple):
        for index, part in enumerate(value):
            yield from _found(part, kind, (*at, index))
