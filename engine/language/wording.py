"""What pydantic finds wrong with data, in the words of the language and where it stands in the source."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from engine.language.document import Document
from engine.language.faults import Fault, Path, did_you_mean, one_of
from engine.language.near import nearest

_SHOWN = 60

_WORDS: Mapping[str, str] = {
    "string_type": "must be text",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
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
    "as": "start with a letter; only a-z, 0-9 and _, at most 64 characters",
    "tool": "start with a letter; only a-z, 0-9, `_`, `.` and `-`",
    "event": "use letters, digits and `_.:/-`, at most 128",
    "pool": "start with a letter; only a-z, 0-9, `_` and `-`",
    "playbook": "write segments of a-z, 0-9, `_` and `-`, joined by slashes",
    "call": "write `module:function`",
}
_NOUNS = {"playbook": "path", "tool": "tool name", "pool": "pool name", "call": "function"}
_KINDS = {
    bool: "true or false",
    int: "a number",
    float: "a number",
    str: "text",
    dict: "a mapping",
    list: "a list",
}
_DURATIONS = frozenset({"delay", "max_delay", "timeout", "deadline", "for"})

Found = tuple[Path, ErrorDetails]
KnownKeys = Callable[[Path], Sequence[str]]


def located(data: object, error: ValidationError) -> list[Found]:
    """Return each finding of an error with its path in the data.

    Where a value fits no member of a union, and one inside it is wrong as well, only the latter is told.
    """
    findings = [(_path(data, detail), detail) for detail in error.errors(include_url=False)]
    above = {path[:length] for path, _ in findings for length in range(len(path))}
    return [each for each in findings if each[0] not in above or not each[1]["type"].endswith("_type")]


def worded(document: Document, findings: Iterable[Found], known_keys: KnownKeys) -> list[Fault]:
    """Word findings as faults: one a value, and none for a key that is only misspelt.

    `known_keys` tells the keys that the mapping at a path may have.
    """
    by_path: dict[Path, list[ErrorDetails]] = {}
    for path, detail in findings:
        by_path.setdefault(path, []).append(detail)
    meant = {_meant(path, known_keys) for path, details in by_path.items() if _is_unknown(details)}
    return [
        _fault(document, path, details, known_keys) for path, details in by_path.items() if path not in meant
    ]


def _path(data: object, detail: ErrorDetails) -> Path:
    """Drop from a location what is no key of the data: the names of the members of unions."""
    path: Path = ()
    last = len(detail["loc"]) - 1
    for index, part in enumerate(detail["loc"]):
        if isinstance(data, list) and isinstance(part, int):
            data = data[part]
        elif isinstance(data, dict) and (part in data or (index == last and detail["type"] == "missing")):
            data = data.get(part)
        else:
            continue
        path = (*path, part)
    return path


def _is_unknown(details: Sequence[ErrorDetails]) -> bool:
    return details[0]["type"] == "extra_forbidden"


def _meant(path: Path, known_keys: KnownKeys) -> Path:
    """The path of the key that an unknown one was meant to be."""
    near = nearest(str(path[-1]), known_keys(path[:-1]))
    return (*path[:-1], near) if near else ()


def _fault(document: Document, path: Path, details: Sequence[ErrorDetails], known_keys: KnownKeys) -> Fault:
    detail, key = details[0], str(path[-1]) if path else ""
    context, given = detail.get("ctx", {}), detail["input"]
    match detail["type"]:
        case "missing":
            return document.fault(path[:-1], f"`{key}` is missing")
        case "extra_forbidden":
            return unknown_key(document, path, known_keys(path[:-1]))
        case "literal_error":
            return _unknown_value(document, path, given, str(context["expected"]))
        case "string_pattern_mismatch":
            noun = _NOUNS.get(key, "name")
            return document.fault(path, f'"{_shown(given)}" is not a valid {noun}', _HINTS.get(key))
        case "value_error" if not _lacks_unit(key, given):
            return _refused(document, path, given, str(context["error"]))
        case _:
            return _mismatch(document, path, details)


def unknown_key(document: Document, path: Path, known: Sequence[str]) -> Fault:
    """The fault of a key that is none of the known ones."""
    hint = did_you_mean(str(path[-1]), known) or f"known here: {', '.join(known)}"
    return document.fault(path, f'unknown key "{_shown(path[-1])}"', hint, at_key=True)


def _unknown_value(document: Document, path: Path, given: object, expected: str) -> Fault:
    known = [word for word in expected.replace(" or ", ", ").replace("'", "").split(", ") if word]
    hint = did_you_mean(given, known) if isinstance(given, str) else None
    return document.fault(path, f'"{_shown(given)}" is not one of {one_of(known)}', hint)


def _refused(document: Document, path: Path, given: object, reason: str) -> Fault:
    if reason.startswith("is "):
        hint = "write it as `500ms`, `30s`, `5m`, `1h30m` or `2d`"
        return document.fault(path, f'"{_shown(given)}" {reason}', hint)
    return document.fault(path, reason)


def _mismatch(document: Document, path: Path, details: Sequence[ErrorDetails]) -> Fault:
    given, key = details[0]["input"], path[-1] if path else ""
    if given is None:
        return document.fault(path, "has no value", "give one or remove the key")
    if _lacks_unit(str(key), given):
        unit = f"write `{given}s`, `{given}m` or the like"
        return document.fault(path, f"the duration {given} has no unit", unit)
    kinds = [detail["type"] for detail in details]
    return document.fault(path, f"{_wanted(details)}{_not(given, kinds)}", _remedy(given, kinds))


def _lacks_unit(key: str, given: object) -> bool:
    return key in _DURATIONS and _is_number(given)


def _remedy(given: object, kinds: Sequence[str]) -> str | None:
    """What to write instead, where that is plain."""
    if _is_number(given) and "string_type" in kinds:
        return "write it in quotes"
    if kinds == ["list_type"] and isinstance(given, str):
        return f"write `[{_shown(given)}]`"
    return "write `- ` before it, or `[ ]` around it" if kinds == ["list_type"] else None


def _is_number(given: object) -> bool:
    return isinstance(given, int | float) and not isinstance(given, bool)


def _wanted(details: Sequence[ErrorDetails]) -> str:
    kinds = {detail["type"] for detail in details}
    words = [
        _WORDS.get(detail["type"], "is not allowed here").format_map(detail.get("ctx", {}))
        for detail in details
        if detail["type"] != "int_type" or "float_type" not in kinds
    ]
    if all(word.startswith("must be ") for word in words):
        return f"must be {one_of(dict.fromkeys(word.removeprefix('must be ') for word in words))}"
    return words[0]


def _not(given: object, kinds: Sequence[str]) -> str:
    """What was given, where that is of another kind."""
    if isinstance(given, float) and "string_type" not in kinds:
        return ""
    differs = all(kind.endswith("_type") for kind in kinds) and type(given) in _KINDS
    return f", not {_KINDS[type(given)]}" if differs else ""


def _shown(value: object) -> str:
    text = str(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
