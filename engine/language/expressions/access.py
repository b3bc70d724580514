"""Reading maps and lists at run time: selection, indexing, presence; a missing key is named with its path."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import islice

from engine.domain.expression import ExpressionFailed
from engine.domain.handles import Handle
from engine.language.expressions.faults import near_miss
from engine.language.expressions.frame import Closure, Frame, mismatch
from engine.language.expressions.syntax import Index, Literal, Node, Select, path
from engine.language.expressions.types import worded
from engine.language.expressions.values import NOTHING, Maybe, kind_of

_MOST_KEYS = 8
_MOST_GUESSED = 200
_LONGEST_KEY = 40
_ABSENT = object()


def name_reader(name: str) -> Closure:
    """Read a name of the scope; it is `not_available` where the caller has not provided it."""

    def read(frame: Frame) -> object:
        try:
            return frame.scope[name]
        except KeyError:
            raise _not_available(name) from None

    return read


def _not_available(name: str) -> ExpressionFailed:
    return ExpressionFailed("not_available", f"'{name}' is not available here")


def path_reader(
    name: str, nodes: Sequence[Node], keys: Sequence[str], taken: Callable[[Handle], object]
) -> Closure:
    """Read a whole chain `name.key.key` in one closure, `nodes` naming each link in errors.

    `taken` is what becomes of a handle at its end.
    """
    links = tuple(zip(keys, nodes, strict=True))

    def read(frame: Frame) -> object:
        try:
            value = frame.scope[name]
        except KeyError:
            raise _not_available(name) from None
        for key, node in links:
            value = value[key] if type(value) is dict and key in value else member(value, key, node)
        return taken(value) if type(value) is Handle else value

    return read


def variable_reader(slot: int, nodes: Sequence[Node], keys: Sequence[str]) -> Closure:
    """Read a whole chain `variable.key.key` of a macro's variable in one closure; nothing is opened."""
    links = tuple(zip(keys, nodes, strict=True))

    def read(frame: Frame) -> object:
        value = frame.variables[slot]
        for key, node in links:
            value = value[key] if type(value) is dict and key in value else member(value, key, node)
        return value

    return read


def index_reader(operand: Closure, key: Closure, node: Node, taken: Callable[[Handle], object]) -> Closure:
    """Read `operand[key]`; `taken` is what becomes of a handle that this gives."""

    def read(frame: Frame) -> object:
        value = member(operand(frame), key(frame), node)
        return taken(value) if type(value) is Handle else value

    return read


def member(value: object, key: object, node: Node) -> object:
    """The value at `key` of a map or at an index of a list; raise `missing_key` or `type_mismatch`."""
    found = _found(value, key, node)
    if found is _ABSENT:
        raise MissingKey(value, key, node)
    return found


def optional_member(value: object, key: object, node: Node) -> Maybe:
    """The value at `key` as an optional."""
    found = _found(value, key, node)
    if found is _ABSENT:
        return NOTHING
    return found if isinstance(value, Maybe) and isinstance(found, Maybe) else Maybe(found)


def has_member(value: object, key: str, node: Node) -> bool:
    """Whether a map has a key, without reading the value."""
    if type(value) is dict:
        return key in value
    if isinstance(value, Maybe):
        return value.present and has_member(value.value, key, node)
    if isinstance(value, Mapping):
        return key in value
    raise _no_container(value, node)


def _found(value: object, key: object, node: Node) -> object:
    if type(value) is dict and type(key) is str:
        return value.get(key, _ABSENT)
    if type(value) is list and type(key) is int:
        return value[key] if 0 <= key < len(value) else _ABSENT
    if isinstance(value, Mapping):
        return _of_map(value, key, node)
    if isinstance(value, Maybe):
        return optional_member(value.value, key, node) if value.present else NOTHING
    if isinstance(value, Handle):
        return _of_handle(value, key, node)
    if kind_of(value) == "list" and not isinstance(node, Select):
        assert isinstance(value, Sequence)  # noqa: S101  # by its kind
        return _of_list(value, key, node)
    raise _no_container(value, node)


def _of_handle(value: Handle, key: object, node: Node) -> object:
    """What lies in a value that is kept apart; of a long list only the element is read."""
    place = int(key) if isinstance(key, float) and key.is_integer() else key
    if value.count is None or type(place) is not int:
        return _found(value.open(), key, node)
    return value.element(place) if 0 <= place < value.count else _ABSENT


def _of_map(value: Mapping[object, object], key: object, node: Node) -> object:
    if not isinstance(key, str | int | float):
        raise mismatch(f"{path(node)}: a map is indexed by a string or an int, not {worded(kind_of(key))}")
    if isinstance(key, bool):
        return _ABSENT
    try:
        return value[key]
    except KeyError:
        return _ABSENT


def _of_list(value: Sequence[object], key: object, node: Node) -> object:
    if isinstance(key, float) and key.is_integer():
        key = int(key)
    if isinstance(key, bool) or not isinstance(key, int):
        raise mismatch(f"{path(node)}: a list is indexed by an int, not {worded(kind_of(key))}")
    return value[key] if 0 <= key < len(value) else _ABSENT


def _no_container(value: object, node: Node) -> ExpressionFailed:
    owner = node.operand if isinstance(node, Select | Index) else node
    wanted = "map" if isinstance(node, Select) else "map or list"
    return mismatch(f"{path(owner)} is {worded(kind_of(value))}, not a {wanted}: {path(node)} cannot be read")


class MissingKey(ExpressionFailed):
    """A key or an index that is not there; the words are found only when nothing has absorbed it."""

    def __init__(self, value: object, key: object, node: Node) -> None:
        super().__init__("missing_key", "")
        self._value = value
        self._key = key
        self._node = node

    def explained(self) -> ExpressionFailed:
        """The failure with its path and the near miss, or what there is."""
        where = path(self._node)
        if isinstance(self._value, Mapping):
            return ExpressionFailed(
                "missing_key", f"{where}: no such key; {_instead(self._value, self._key)}"
            )
        length = _length(self._value)
        return ExpressionFailed("missing_key", f"{where}: no such index; the list has {length} elements")


def _length(value: object) -> int:
    if isinstance(value, Handle):
        return value.count or 0
    return len(value) if isinstance(value, Sequence) else 0


def _instead(value: Mapping[object, object], key: object) -> str:
    known = [name for name in islice(value, _MOST_GUESSED) if isinstance(name, str)]
    short = [name for name in known if len(name) <= _LONGEST_KEY]
    guess = near_miss(key, short) if isinstance(key, str) else None
    if guess is not None:
        return guess
    if not known:
        return "there are none"
    keys = [repr(name[:_LONGEST_KEY]) for name in known[:_MOST_KEYS]]
    return f"there are {', '.join(keys)}{', ...' if len(value) > _MOST_KEYS else ''}"


def constant_key(node: Node) -> str | None:
    """The key of a link that is known by name: `.key` or `['key']`."""
    match node:
        case Select(optional=False):
            return node.field
        case Index(optional=False, key=Literal(value=str() as key)):
            return key
        case _:
            return None
