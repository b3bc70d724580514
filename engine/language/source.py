"""Bytes to data: one strict YAML 1.2 (or JSON) document, capped before it is parsed."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator

import orjson
import yaml

from engine.language.compose import Composer, Refused
from engine.language.document import Document, Mark

MAX_BYTES = 1_048_576

_BOMS = {
    codecs.BOM_UTF8: "a byte order mark",
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
_CONTROL = re.compile("[^\t\n\r -~\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
_SURROGATES = re.compile(r"(?<!\\)((?:\\\\)*)\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})")
_ONLY_JSON = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
_ENDS_INSIDE = frozenset({"found unexpected end of stream", "found unexpected document indicator"})
_WORDS = {
    "found character that cannot start any token": ("this character cannot start a value", "quote the value"),
    "found a tab character that violates indentation": ("a tab cannot indent", "indent with spaces"),
    "mapping values are not allowed in this context": (
        "a `:` cannot stand here",
        "quote a value that holds `: `",
    ),
    "could not find expected ':'": ("a key without its `:`", "write `key: value`, and quote long text"),
    "did not find expected key": ("a key was expected here", "check the indentation and the quotes above"),
    "did not find expected '-' indicator": ("a `- ` was expected here", "check the indentation"),
    "did not find expected ',' or '}'": (
        "a `,` or `}` was expected here",
        'close the `{`, and quote text such as "${ ... }"',
    ),
    "did not find expected ',' or ']'": (
        "a `,` or `]` was expected here",
        'close the `[`, and quote text such as "${ ... }"',
    ),
    "found unexpected end of stream": ("these quotes never end", "close the quotes"),
    "found unexpected document indicator": (
        "a document marker stands inside these quotes",
        "close the quotes",
    ),
    "found unknown escape character": ("an unknown escape in double quotes", "write `\\\\` for a backslash"),
    "block sequence entries are not allowed in this context": (
        "a `- ` cannot stand here",
        "start it on a new line",
    ),
    "found undefined tag handle": ("tags are not allowed", "write the plain value"),
    "did not find expected <document start>": ("text after the end of the document", "remove it"),
}


def read(source: bytes) -> Document:
    """Read one document; its faults hold everything refused, its root is None when reading had to stop."""
    composer = Composer("")
    try:
        composer.source = _json_as_yaml(_decode(source))
        return composer.compose(_events(composer.source))
    except Refused as error:
        composer.document.root = None
        composer.document.faults.append(error.fault)
        return composer.document


def _decode(source: bytes) -> str:
    if len(source) > MAX_BYTES:
        raise Refused(
            Mark(1, 1), f"the source has {len(source)} bytes, more than 1 MiB", "split the playbook"
        )
    for bom, name in _BOMS.items():
        if source.startswith(bom):
            raise Refused(Mark(1, 1), f"the source starts with {name}", "save it as plain UTF-8")
    try:
        return source.decode()
    except UnicodeDecodeError as error:
        mark = _mark_of(source[: error.start].decode(), error.start)
        raise Refused(mark, "the source is not UTF-8", "save it as plain UTF-8") from None


def _json_as_yaml(text: str) -> str:
    """Escape what JSON allows and YAML does not, so that every JSON document is read as what it says."""
    if text.lstrip()[:1] != "{" or not (_SURROGATES.search(text) or _ONLY_JSON.search(text)):
        return text
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
    text = _ONLY_JSON.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
    return _SURROGATES.sub(_joined, text)


def _joined(match: re.Match[str]) -> str:
    high, low = int(match[2], 16), int(match[3], 16)
    return f"{match[1]}\\U{0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00):08x}"


def _events(text: str) -> Iterator[yaml.Event]:
    control = _CONTROL.search(text)
    if control is not None:
        code = f"U+{ord(control[0]):04X}"
        escape = f"write it as `\\u{ord(control[0]):04x}` in double quotes"
        hint = "remove it" if control[0] == "\0" else f"{escape}, or remove it"
        raise Refused(_mark_of(text, control.start()), f"the character {code} is not allowed", hint)
    parser = yaml.CBaseLoader(text)
    try:
        while (event := parser.get_event()) is not None:
            yield event
    except yaml.MarkedYAMLError as error:
        raise _refused(error, text) from None
    finally:
        parser.dispose()


def _refused(error: yaml.MarkedYAMLError, text: str) -> Refused:
    place = error.context_mark if error.problem in _ENDS_INSIDE else error.problem_mark
    mark = Mark(place.line + 1, place.column + 1) if place is not None else Mark(1, 1)
    problem = error.problem or "it cannot be read"
    if place is not None and "\t" in _indentation(text, place.line, place.column):
        return Refused(mark, "a tab cannot indent", "indent with spaces")
    words, hint = _WORDS.get(problem, (f"this is not YAML: {problem}", None))
    return Refused(mark, words, hint)


def _indentation(text: str, line: int, column: int) -> str:
    lines = text.split("\n", line + 1)
    start = lines[line] if line < len(lines) else ""
    blank = start[: len(start) - len(start.lstrip())]
    return blank if column <= len(blank) else ""


def _mark_of(text: str, offset: int) -> Mark:
    before = text[:offset]
    return Mark(before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1)
