"""The types of `a.b` and `a[b]`: what a key of a map, a list, the steps or one step gives."""

from __future__ import annotations

from collections.abc import Mapping

from engine.language.expressions.faults import Wrong, listed, near_miss
from engine.language.expressions.syntax import Index, Literal, Node, Select, path, start
from engine.language.expressions.types import (
    DYN,
    NULL,
    ListType,
    MapType,
    OptionalType,
    StepsType,
    StepType,
    Type,
    worded,
)


def member_type(owner: Type, node: Select | Index, key: str) -> Type:
    """The type of a key known by name; raise `Wrong` when there is no such key."""
    at = node.at if isinstance(node, Select) else start(node.key)
    match owner:
        case OptionalType():
            return OptionalType(member_type(owner.element, node, key))
        case StepsType():
            if key not in owner.names:
                hint = near_miss(key, owner.names) or listed(owner.names)
                raise Wrong(at, f"there is no step '{key[:40]}'", hint)
            return StepType(key, owner.outputs.get(key, DYN))
        case StepType():
            return _known(owner.fields(), None, node.operand, key, at)
        case MapType():
            return _known(owner.fields, owner.others, node.operand, key, at)
    if owner == DYN:
        return DYN
    raise _keyless(owner, node, at)


def _keyless(owner: Type, node: Select | Index, at: int) -> Wrong:
    if owner == NULL:
        return Wrong(at, f"'{path(node.operand)}' is always null")
    hint = "index it by an int, or use .map(...)" if isinstance(owner, ListType) else None
    return Wrong(at, f"{worded(owner.kind)} has no keys", hint)


def _known(fields: Mapping[str, Type], others: Type | None, operand: Node, key: str, at: int) -> Type:
    found = fields.get(key, others)
    if found is None:
        hint = near_miss(key, fields) or listed(fields)
        raise Wrong(at, f"'{path(operand)}' has no key '{key[:40]}'", hint)
    return found


def index_type(owner: Type, node: Index, key: Type) -> Type:
    """The type of `a[b]`, `key` being that of `b`; raise `Wrong` when it cannot be indexed so."""
    if isinstance(owner, OptionalType):
        return OptionalType(index_type(owner.element, node, key))
    if isinstance(owner, StepsType | StepType):
        return _step_index(owner, node)
    match owner:
        case MapType():
            return _map_index(owner, node, key)
        case ListType():
            if key.kind not in {"int", "dyn"}:
                raise Wrong(start(node.key), f"a list is indexed by an int, not {worded(key.kind)}")
            return owner.element
    if owner == DYN:
        return DYN
    raise Wrong(node.at, f"{worded(owner.kind)} cannot be indexed")


def _step_index(owner: StepsType | StepType, node: Index) -> Type:
    if isinstance(node.key, Literal) and isinstance(node.key.value, str):
        return member_type(owner, node, node.key.value)
    example = "steps['name']" if isinstance(owner, StepsType) else "steps.name['output']"
    message = (
        f"'{path(node.operand)}' is indexed by a constant string only: which steps are read must be known"
    )
    raise Wrong(start(node.key), message, f"write {example}")


def _map_index(owner: MapType, node: Index, key: Type) -> Type:
    if isinstance(node.key, Literal) and isinstance(node.key.value, str):
        return member_type(owner, node, node.key.value)
    if key.kind not in {"string", "int", "dyn"}:
        raise Wrong(start(node.key), f"a map is indexed by a string or an int, not {worded(key.kind)}")
    if owner.fields or owner.others is None:
        return DYN
    return owner.others
