"""The results of a settle request: each is read on its own, a bad one is rejected by its index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypedDict

from engine.domain.handles import SCHEME
from engine.domain.json_values import Unstorable, check_value
from engine.domain.normalize import error_of, optional_id, reference_uri, required_id, time_of
from engine.write.commands import Lease, Result

SUCCEEDED = {"completed": True, "success": True, "failed": False, "error": False}
MEMBERS = frozenset(
    {
        *("command_id", "lease_token", "status", "output", "result_kind", "result_uri", "error"),
        *("started_at", "execution_id"),
    }
)


class Refused(TypedDict):
    """Why the result at this index is not recorded."""

    index: int
    code: str
    detail: str


@dataclass(slots=True)
class Results:
    """Results that can be recorded, each with its index in the request, and those that cannot."""

    accepted: list[Result] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    rejected: list[Refused] = field(default_factory=list)


def read_results(items: Sequence[object]) -> Results:
    """Read what a worker sent; see `Unstorable` for the codes."""
    results = Results()
    for index, item in enumerate(items):
        try:
            results.accepted.append(_result(item))
            results.places.append(index)
        except Unstorable as refusal:
            results.rejected.append({"index": index, "code": refusal.code, "detail": refusal.detail})
    return results


def _result(item: object) -> Result:
    if not isinstance(item, dict):
        raise Unstorable("bad_type", "a result is an object")
    if not item.keys() <= MEMBERS:
        raise Unstorable("bad_type", f"a result has the members {', '.join(sorted(MEMBERS))}")
    status = item.get("status")
    succeeded = SUCCEEDED.get(status.lower()) if isinstance(status, str) else None
    if succeeded is None:
        raise Unstorable("bad_type", "status is completed or failed")
    uri = _uri(item) if succeeded else None
    value = item.get("output") if succeeded else error_of(item.get("error"))
    is_ours = uri is not None and uri.startswith(SCHEME)
    if uri is not None:
        value = None if is_ours else {"reference": {"kind": "ref", "uri": uri}}
    check_value(value)
    return Result(
        lease=Lease(required_id(item, "command_id"), required_id(item, "lease_token")),
        succeeded=succeeded,
        value=value,
        payload_uri=uri if is_ours else None,
        execution_id=optional_id(item, "execution_id"),
        started_at=_started_at(item),
    )


def _uri(item: dict[str, object]) -> str | None:
    """Where the output lies: in the result itself (None), or at an address."""
    match item.get("result_kind"):
        case None | "data":
            return None
        case "ref":
            return reference_uri(item.get("result_uri"))
        case _:
            raise Unstorable("bad_type", "result_kind is data or ref")


def _started_at(item: dict[str, object]) -> str | None:
    value = item.get("started_at")
    time_of(value, naive=False)
    return value if isinstance(value, str) else None
