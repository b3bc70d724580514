"""Data against the shape of the language, each mismatch reworded as a fault where it stands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from engine.language.document import Document
from engine.language.faults import MAX_FAULTS, Fault, Path, did_you_mean, one_of
from engine.language.model import (
    Branch,
    Compensate,
    Input,
    Map,
    OnError,
    Playbook,
    Repeat,
    Retry,
    Step,
    Wait,
)

_STAND_IN = {"name": "stand_in", "tool": "noop"}
_ROUNDS = 3
_SHOWN = 60

_WORDS: Mapping[str, str] = {
    "string_type": "must be text",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "dict_type": "must be a mapping",
    "model_type": "must be a mapping",
    "list_type": "must be a list",
    "string_too_short": "must not be empty",
    "too_short": "must not be empty",
    "string_too_long": "must have at most {max_length} characters",
    "too_long": "must have at most {max_length} entries",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than_equal": "must be at most {le:g}",
}
_HINTS: Mapping[str, str] = {
    "name": "start with a letter; only a-z, 0-9 and _, at most 64 characters",
    "tool": "start with a letter; only a-z, 0-9, `_`, `.` and `-`",
    "event": "use letters, digits and `_.:/-`, at most 128",
    "pool": "start with a letter; only a-z, 0-9, `_` and `-`",
    "playbook": "write segments of a-z, 0-9, `_` and `-`, joined by slashes",
}
_MEMBERS = frozenset({"step", "branches"})
_KEYS: Mapping[str, type[BaseModel]] = {
    "retry": Retry,
    "wait": Wait,
    "next": Branch,
    "map": Map,
    "repeat": Repeat,
    "on_error": OnError,
    "compensate": Compensate,
}


@dataclass(frozen=True, slots=True)
class Shaped:
    """A model, the faults of its shape, and the paths that were left out of the model for them."""

    playbook: Playbook | None
    faults: tuple[Fault, ...] = ()
    left_out: frozenset[Path] = field(default_factory=frozenset)


def shape(document: Document) -> Shaped:
    """Validate a document's data; what is wrong is reported and left out, so that the rest can be checked."""
    data = document.root.data() if document.root is not None else None
    if not isinstance(data, dict):
        return Shaped(
            None, (document.fault((), "a playbook must be a mapping", "start with `playbook: <path>`"),)
        )
    faults: list[Fault] = []
    left_out: set[Path] = set()
    for _ in range(_ROUNDS):
        try:
            playbook = Playbook.model_validate(data)
        except ValidationError as error:
            found = [(_path(data, detail["loc"]), detail) for detail in error.errors(include_url=False)]
            faults += [_worded(document, path, detail) for path, detail in found[:MAX_FAULTS]]
            left_out.update(_leave_out(data, path) for path, _ in found)
            continue
        nulls = list(_nulls(playbook, ()))
        faults += [document.fault(path, "has no value", "give one or remove the key") for path in nulls]
        return Shaped(playbook, tuple(faults), frozenset(left_out | set(nulls)))
    return Shaped(None, tuple(faults), frozenset(left_out))


def _path(data: object, loc: tuple[int | str, ...]) -> Path:
    """Drop the names of union members, which are no keys of the data, from a location."""
    path: Path = ()
    for index, part in enumerate(loc):
        if path[-1:] == ("next",) and part in _MEMBERS:
            continue
        if isinstance(data, list) and isinstance(part, int):
            data = data[part]
            path = (*path, part)
        elif isinstance(data, dict) and (part in data or index == len(loc) - 1):
            data = data.get(part)
            path = (*path, part)
    return path


def _worded(document: Document, path: Path, detail: ErrorDetails) -> Fault:
    kind, context, key = detail["type"], detail.get("ctx", {}), path[-1] if path else ""
    match kind:
        case "missing":
            return document.fault(path[:-1], f"`{key}` is missing", None)
        case "extra_forbidden":
            return _unknown_key(document, path)
        case "literal_error":
            return _unknown_value(document, path, detail["input"], str(context["expected"]))
        case "string_pattern_mismatch":
            hint = _HINTS.get(str(key))
            return document.fault(path, f'"{_shown(detail["input"])}" is not a valid {_noun(str(key))}', hint)
        case "value_error":
            hint = "write it as `500ms`, `30s`, `5m`, `1h30m` or `2d`"
            return document.fault(path, f'"{_shown(detail["input"])}" {context["error"]}', hint)
        case _:
            return _mismatch(document, path, detail)


def _mismatch(document: Document, path: Path, detail: ErrorDetails) -> Fault:
    given, kind = detail["input"], detail["type"]
    if given is None:
        return document.fault(path, "has no value", "give one or remove the key")
    words = _WORDS.get(kind, "is not allowed here").format_map(detail.get("ctx", {}))
    if kind != "string_type":
        contrast = "" if isinstance(given, float) or not kind.endswith("_type") else _not(given)
        return document.fault(path, f"{words}{contrast}")
    if path[-1] in {"delay", "max_delay", "timeout", "deadline", "for"} and isinstance(given, int | float):
        return document.fault(
            path, f"the duration {given} has no unit", f"write `{given}s`, `{given}m` or the like"
        )
    hint = "write it in quotes" if isinstance(given, int | float) else None
    return document.fault(path, f"must be text{_not(given)}", hint)


def _unknown_key(document: Document, path: Path) -> Fault:
    known = _known_keys(path[:-1])
    hint = did_you_mean(str(path[-1]), known) or f"known here: {', '.join(known)}"
    return document.fault(path, f'unknown key "{_shown(path[-1])}"', hint, at_key=True)


def _unknown_value(document: Document, path: Path, given: object, expected: str) -> Fault:
    known = [word for word in expected.replace(" or ", ", ").replace("'", "").split(", ") if word]
    hint = did_you_mean(given, known) if isinstance(given, str) else None
    return document.fault(path, f'"{_shown(given)}" is not one of {one_of(known)}', hint)


def _known_keys(path: Path) -> list[str]:
    shape_of: type[BaseModel] = Playbook
    names = [part for part in path if isinstance(part, str)]
    if names[:1] == ["inputs"]:
        shape_of = Input
    elif names[:1] == ["steps"]:
        shape_of = next((_KEYS[name] for name in reversed(names[1:]) if name in _KEYS), Step)
    return [info.alias or name for name, info in shape_of.model_fields.items()]


def _leave_out(data: dict[str, object], path: Path) -> Path:
    """Remove or replace the smallest part that can be spared; returns its path."""
    match path:
        case ("steps", int(index), *rest):
            return _leave_out_of_step(data["steps"], index, [str(part) for part in rest[:1]])
        case ("inputs", str(name), *rest) if isinstance(inputs := data["inputs"], dict):
            inputs[name] = {"type": "any", "default": None}
            return path[:2]
        case ("playbook", *_):
            data["playbook"] = "stand-in"
        case ("steps", *_):
            data["steps"] = [_STAND_IN]
        case _:
            data.pop(str(path[0]), None)
    return path[:1]


def _leave_out_of_step(steps: object, index: int, key: list[str]) -> Path:
    if not isinstance(steps, list):
        return ("steps",)
    step = steps[index]
    if not isinstance(step, dict) or not key:
        steps[index] = _STAND_IN
        return ("steps", index)
    if key == ["name"]:
        step["name"] = _STAND_IN["name"]
    else:
        step.pop(key[0], None)
    return ("steps", index, key[0])


def _nulls(part: BaseModel, path: Path) -> Iterator[Path]:
    """Walk the paths of keys that are written without a value."""
    for name in sorted(part.model_fields_set):
        value: object = getattr(part, name)
        here = (*path, type(part).model_fields[name].alias or name)
        if value is None and not (isinstance(part, Input) and name == "default"):
            yield here
        elif isinstance(value, BaseModel):
            yield from _nulls(value, here)
        elif isinstance(value, list | dict):
            entries = value.items() if isinstance(value, dict) else enumerate(value)
            for key, item in entries:
                if isinstance(item, BaseModel):
                    yield from _nulls(item, (*here, key))


def _noun(key: str) -> str:
    return {"playbook": "path", "tool": "tool name", "pool": "pool name"}.get(key, "name")


def _shown(value: object) -> str:
    text = str(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _not(value: object) -> str:
    kinds = {
        bool: "true or false",
        int: "a number",
        float: "a number",
        str: "text",
        dict: "a mapping",
        list: "a list",
    }
    return f", not {kinds[type(value)]}" if type(value) in kinds else ""
