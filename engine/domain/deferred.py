"""Expressions that only a worker can evaluate: they go to it as source and just the values they name.

    expression names a secret ──▶ the command holds {source, values, doubles} and says at which places
    worker claims the command ──▶ puts payloads in place, evaluates the source over `remote(values)`

The places are told beside the input, like those of handles: data that looks like a source stays data.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TypeAlias

from engine.domain.expression import Deferred, ExpressionFailed
from engine.domain.handles import MOST_READ_BYTES, Handle

Named: TypeAlias = Mapping[str, "Named | None"]
"""What an expression names, by top-level name and then key by key; None stands for the whole value there."""

_NOT_AVAILABLE = "not_available"


def deferred(source: str, named: Named, doubles: object, scope: Mapping[str, object]) -> Deferred:
    """The expression with the values it names, as they are in `scope`; what is absent there is left out."""
    values = {name: _value(name, scope[name], parts) for name, parts in named.items() if name in scope}
    return Deferred(source, values, doubles)


def _value(name: str, value: object, parts: Named | None) -> object:
    return _steps(value, parts) if name == "steps" else _cut(value, parts)


def _steps(steps: object, named: Named | None) -> dict[str, object]:
    """Of each step its status and the named parts, but no output where there is none."""
    assert isinstance(steps, Mapping)  # noqa: S101  # by its name
    return {name: dict(_parts(steps[name], parts or {})) for name, parts in (named or {}).items()}


def _parts(step: Mapping[str, object], named: Named) -> Iterator[tuple[str, object]]:
    yield "status", step["status"]
    for key, parts in named.items():
        try:
            yield key, _cut(step[key], parts)
        except KeyError:
            continue
        except ExpressionFailed as failed:
            if failed.code != _NOT_AVAILABLE:
                raise


def _cut(value: object, parts: Named | None) -> object:
    """The named parts of a map; anything else as it is.

    A large value is read for its parts where that is allowed, else the worker refuses to, as deciding would.
    """
    if parts is None:
        return value.passed() if isinstance(value, Handle) else value
    if isinstance(value, Handle) and value.bytes <= MOST_READ_BYTES:
        value = value.open()
    if not isinstance(value, Mapping):
        return value
    return {key: _cut(value[key], inner) for key, inner in parts.items() if key in value}


def merged(paths: Iterable[tuple[str, ...]]) -> Named:
    """What all the paths name together; one that ends at a value names the whole of it."""
    tree: dict[str, Named | None] = {}
    for path in paths:
        _insert(tree, path)
    return tree


def _insert(tree: dict[str, Named | None], path: tuple[str, ...]) -> None:
    key, *rest = path
    inner = tree.get(key, {})
    if inner is None:
        return
    if not rest:
        tree[key] = None
        return
    grown = dict(inner)
    _insert(grown, tuple(rest))
    tree[key] = grown


def remote(values: Mapping[str, object]) -> dict[str, object]:
    """The values of a deferred expression as the names it sees."""
    names = dict(values)
    steps = names.get("steps")
    if isinstance(steps, dict):
        names["steps"] = {name: _Step(name, parts) for name, parts in steps.items()}
    return names


class _Step(Mapping[str, object]):
    """The parts of a step that were sent along; of one without an output, reading it fails as elsewhere."""

    def __init__(self, name: str, parts: Mapping[str, object]) -> None:
        self._name = name
        self._parts = parts

    def __getitem__(self, key: str) -> object:
        if key == "output" and key not in self._parts:
            raise no_output(self._name, str(self._parts["status"]))
        return self._parts[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)


def no_output(step: str, status: str) -> ExpressionFailed:
    """The failure of reading the output of a step that has none."""
    return ExpressionFailed(_NOT_AVAILABLE, f"steps.{step}.output: the step is {status}, not completed")
