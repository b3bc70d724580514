"""The lexer: a source cut into tokens, literals decoded, everything the language refuses named."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from engine.language.expressions.faults import ExpressionFault, fault_at

_CONTROL = {"break", "continue", "else", "for", "if", "loop", "return", "while"}
_DECLARING = {"as", "const", "function", "import", "let", "namespace", "package", "var", "void"}
KEYWORDS = {"true", "false", "null", "in"}
RESERVED = _CONTROL | _DECLARING
_MAX_INT_DIGITS = 20
_MAX_CODE_POINT = 0x10FFFF

_TOKEN = re.compile(
    r"""
      (?P<space> [ \t\n\r\f]+ | //[^\n]* )
    | (?P<bytes> (?: [bB][rR]? | [rR][bB] )['"] )
    | (?P<raw> [rR](?: '''(?s:.*?)''' | \"""(?s:.*?)\"""
        | (?!'''|\""")(?: '[^'\n\r]*' | "[^"\n\r]*" ) ) )
    | (?P<string> '''(?: [^\\] | \\(?s:.) )*?''' | \"""(?: [^\\] | \\(?s:.) )*?\"""
        | (?!'''|\""")(?: '(?: [^'\\\n\r] | \\[^\n\r] )*' | "(?: [^"\\\n\r] | \\[^\n\r] )*" ) )
    | (?P<open> [rR]?['"] )
    | (?P<number> (?P<hex> 0[xX][0-9a-fA-F]+ )
        | (?P<double> (?: [0-9]+\.[0-9]+ | \.[0-9]+ )(?: [eE][+-]?[0-9]+ )? | [0-9]+[eE][+-]?[0-9]+ )
        | [0-9]+ )
    | (?P<name> [A-Za-z_][A-Za-z0-9_]* )
    | (?P<sign> && | \|\| | == | != | <= | >= | \.\? | \[\? | [-+*/%!<>?:.,()\[\]{}] )
    """,
    re.VERBOSE,
)
_SUFFIX = re.compile(r"[A-Za-z_0-9]+")
_ESCAPE = re.compile(
    r"\\(?:(?P<plain>[abfnrtv\\?\"'`])|(?P<octal>[0-3][0-7]{2})"
    r"|[xX](?P<two>[0-9a-fA-F]{2})|u(?P<four>[0-9a-fA-F]{4})|U(?P<eight>[0-9a-fA-F]{8})|(?P<bad>.?))",
    re.DOTALL,
)
_PLAIN = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_INSTEAD = {"&": "did you mean '&&'?", "|": "did you mean '||'?", "=": "did you mean '=='?"}
_UNFIT = re.compile("[\x00\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Token:
    """One token; `kind` is `int`, `double`, `string`, `name`, `keyword`, `sign` or `end`."""

    kind: str
    text: str
    at: int
    value: int | float | str = ""


def tokenize(source: str) -> Iterator[Token]:
    """Cut a source into tokens, the last of kind `end`; raise `ExpressionFault` at the first that is none."""
    if unfit := _UNFIT.search(source):
        raise _fault(source, unfit.start(), "a source may hold neither NUL nor half a surrogate pair")
    at = 0
    while at < len(source):
        found = _TOKEN.match(source, at)
        if found is None:
            raise _fault(source, at, f"unexpected character {source[at]!r}", _INSTEAD.get(source[at]))
        if found.lastgroup != "space":
            yield _token(source, found)
        at = found.end()
    yield Token("end", "", len(source))


def _token(source: str, found: re.Match[str]) -> Token:
    text, at = found.group(), found.start()
    match found.lastgroup:
        case "name":
            return Token("keyword" if text in KEYWORDS else "name", text, at)
        case "sign":
            return Token("sign", text, at)
        case "number":
            return _number(source, found)
        case "raw":
            return Token("string", text, at, _unquoted(text[1:])[1])
        case "string":
            return Token("string", text, at, _decoded(source, text, at))
        case "bytes":
            raise _fault(source, at, "there are no bytes in this language", "write a string")
        case _:
            raise _fault(source, at, "this string is not closed")


def _number(source: str, found: re.Match[str]) -> Token:
    text, at = found.group(), found.start()
    if suffix := _SUFFIX.match(source, found.end()):
        if suffix.group() in {"u", "U"}:
            raise _fault(source, at, "there are no unsigned ints in this language", f"write {text}")
        raise _fault(source, at, f"'{(text + suffix.group())[:40]}' is no number")
    if found["double"] is not None:
        return Token("double", text, at, _double(source, text, at))
    digits = text[2:] if found["hex"] is not None else text
    if len(digits.lstrip("0")) > _MAX_INT_DIGITS:
        raise _fault(source, at, "this int does not fit into 64 bits")
    return Token("int", text, at, int(digits, 16 if found["hex"] is not None else 10))


def _double(source: str, text: str, at: int) -> float:
    value = float(text)
    if value == float("inf"):
        raise _fault(source, at, "this double is too large")
    return value


def _unquoted(text: str) -> tuple[int, str]:
    width = 3 if text[:3] in {"'''", '"""'} else 1
    return width, text[width:-width]


def _decoded(source: str, text: str, at: int) -> str:
    width, body = _unquoted(text)
    if "\\" not in body:
        return body

    def character(escape: re.Match[str]) -> str:
        code = _code_point(escape)
        if code is None:
            place = at + width + escape.start()
            raise _fault(source, place, f"{escape.group()!r} is no escape of a character", "write '\\\\'")
        return chr(code)

    return _ESCAPE.sub(character, body)


def _code_point(escape: re.Match[str]) -> int | None:
    if (plain := escape["plain"]) is not None:
        return ord(_PLAIN.get(plain, plain))
    if (octal := escape["octal"]) is not None:
        return int(octal, 8) or None
    digits = escape["two"] or escape["four"] or escape["eight"]
    code = int(digits, 16) if digits else 0
    fits = 0 < code <= _MAX_CODE_POINT and not 0xD800 <= code <= 0xDFFF  # noqa: PLR2004  # the surrogates
    return code if fits else None


def _fault(source: str, at: int, message: str, hint: str | None = None) -> ExpressionFault:
    return ExpressionFault(fault_at(source, at, message, hint))
