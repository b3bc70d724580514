"""Data against the shape of the language, each mismatch reworded as a fault where it stands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from pydantic import BaseModel, ValidationError

from engine.language.document import Document
from engine.language.faults import MAX_FAULTS, Fault, Path
from engine.language.model import (
    Branch,
    Compensate,
    Concurrency,
    Input,
    Map,
    OnError,
    Playbook,
    Repeat,
    Retry,
    Step,
    Wait,
)
from engine.language.wording import located, worded

_STAND_IN = {"name": "stand_in", "tool": "noop"}
_ROUNDS = 3

_KEYS: Mapping[str, type[BaseModel]] = {
    "retry": Retry,
    "wait": Wait,
    "next": Branch,
    "map": Map,
    "repeat": Repeat,
    "on_error": OnError,
    "compensate": Compensate,
    "concurrency": Concurrency,
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
            findings = located(data, error)
            faults += worded(document, findings[:MAX_FAULTS], _known_keys)
            left_out.update(_leave_out(data, path) for path, _ in findings)
            continue
        nulls = list(_nulls(playbook, ()))
        faults += [document.fault(path, "has no value", "give one or remove the key") for path in nulls]
        return Shaped(playbook, tuple(faults), frozenset(left_out | set(nulls)))
    return Shaped(None, tuple(faults), frozenset(left_out))


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
            return _leave_out_of_input(inputs, ("inputs", name), rest)
        case ("playbook", *_):
            data["playbook"] = "stand-in"
        case ("steps", *_):
            data["steps"] = [_STAND_IN]
        case _:
            data.pop(str(path[0]), None)
    return path[:1]


def _leave_out_of_input(specs: dict[str, object], path: Path, rest: list[str | int]) -> Path:
    """Replace the innermost declaration that holds what is wrong; `specs` holds the one at `path`."""
    spec = specs.get(str(path[-1]))
    match rest:
        case ["properties", str(name), *deeper] if isinstance(parts := _part(spec, "properties"), dict):
            return _leave_out_of_input(parts, (*path, "properties", name), deeper)
        case ["items", *deeper] if isinstance(spec, dict):
            return _leave_out_of_input(spec, (*path, "items"), deeper)
    specs[str(path[-1])] = {"type": "any", "default": None}
    return path


def _part(spec: object, key: str) -> object:
    return spec.get(key) if isinstance(spec, dict) else None


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
