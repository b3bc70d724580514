"""The methods of strings, each paying for the characters it touches before it touches them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from engine.domain.expression import ExpressionFailed
from engine.language.expressions.frame import Frame, mismatch
from engine.language.expressions.overloads import Overload
from engine.language.expressions.types import BOOL, INT, STRING, ListType

# Unicode's White_Space, which is what CEL trims; str.strip() also takes the separators \x1c to \x1f.
_BLANKS = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))

_COST_OF_TEXT = 4


def _searched(frame: Frame, text: str, part: str) -> None:
    # The search is linear for long needles and quadratic in the worst case for short ones.
    frame.spend((len(text) >> 4) + (len(text) * min(len(part), 128) >> 10))


def _contains(frame: Frame, text: str, part: str) -> bool:
    _searched(frame, text, part)
    return part in text


def _starts_with(frame: Frame, text: str, part: str) -> bool:
    frame.spend(len(part) >> 6)
    return text.startswith(part)


def _ends_with(frame: Frame, text: str, part: str) -> bool:
    frame.spend(len(part) >> 6)
    return text.endswith(part)


def _lower(frame: Frame, text: str) -> str:
    frame.spend(len(text) >> 4)
    return text.encode(errors="surrogatepass").lower().decode(errors="surrogatepass")


def _upper(frame: Frame, text: str) -> str:
    frame.spend(len(text) >> 4)
    return text.encode(errors="surrogatepass").upper().decode(errors="surrogatepass")


def _trim(frame: Frame, text: str) -> str:
    frame.spend(len(text) >> 3)
    return text.strip(_BLANKS)


def _split(frame: Frame, text: str, separator: str, limit: int = -1) -> list[str]:
    if limit == 0:
        return []
    _searched(frame, text, separator)
    pieces = text.count(separator) + 1 if separator else len(text)
    pieces = pieces if limit < 0 else min(pieces, limit)
    frame.spend(_COST_OF_TEXT + pieces + (len(text) >> 5))
    if separator:
        return text.split(separator, pieces - 1)
    return [*text[: pieces - 1], text[pieces - 1 :]] if text else [""]


def _join(frame: Frame, parts: Sequence[object], separator: str = "") -> str:
    frame.spend(len(parts) + _COST_OF_TEXT)
    texts = [part for part in parts if isinstance(part, str)]
    if len(texts) != len(parts):
        raise mismatch("join() takes a list of strings, and an element is none")
    frame.spend((sum(map(len, texts)) + len(separator) * len(texts)) >> 5)
    return separator.join(texts)


def _replace(frame: Frame, text: str, old: str, new: str, limit: int = -1) -> str:
    _searched(frame, text, old)
    count = text.count(old)
    count = count if limit < 0 else min(count, limit)
    frame.spend(_COST_OF_TEXT + count + ((len(text) + count * len(new)) >> 5))
    return text.replace(old, new, count)


def _substring(frame: Frame, text: str, first: int, end: int | None = None) -> str:
    last = len(text) if end is None else end
    if not 0 <= first <= last <= len(text):
        raise ExpressionFailed("missing_key", "substring() is asked for a range outside of the string")
    frame.spend(_COST_OF_TEXT + ((last - first) >> 5))
    return text[first:last]


def _index_of(frame: Frame, text: str, part: str, first: int = 0) -> int:
    if not 0 <= first <= len(text):
        raise ExpressionFailed("missing_key", "indexOf() is asked for an index outside of the string")
    _searched(frame, text, part)
    return text.find(part, first)


def _last_index_of(frame: Frame, text: str, part: str, last: int | None = None) -> int:
    if last is not None and not 0 <= last <= len(text):
        raise ExpressionFailed("missing_key", "lastIndexOf() is asked for an index outside of the string")
    # Searching backwards has no guard against needles that nearly match everywhere.
    frame.spend((len(text) >> 4) + (len(text) * min(len(part), len(text)) >> 6))
    return text.rfind(part) if last is None else text.rfind(part, 0, last + len(part))


def _char_at(_: Frame, text: str, index: int) -> str:
    if not 0 <= index <= len(text):
        raise ExpressionFailed("missing_key", "charAt() is asked for an index outside of the string")
    return text[index : index + 1]


_TEXTS = ListType(STRING)

STRING_METHODS: Mapping[str, tuple[Overload, ...]] = {
    "contains": (Overload(("string", "string"), BOOL, _contains),),
    "startsWith": (Overload(("string", "string"), BOOL, _starts_with),),
    "endsWith": (Overload(("string", "string"), BOOL, _ends_with),),
    "charAt": (Overload(("string", "int"), STRING, _char_at),),
    "lowerAscii": (Overload(("string",), STRING, _lower),),
    "upperAscii": (Overload(("string",), STRING, _upper),),
    "trim": (Overload(("string",), STRING, _trim),),
    "split": (
        Overload(("string", "string"), _TEXTS, _split),
        Overload(("string", "string", "int"), _TEXTS, _split),
    ),
    "join": (Overload(("list",), STRING, _join), Overload(("list", "string"), STRING, _join)),
    "replace": (
        Overload(("string", "string", "string"), STRING, _replace),
        Overload(("string", "string", "string", "int"), STRING, _replace),
    ),
    "substring": (
        Overload(("string", "int"), STRING, _substring),
        Overload(("string", "int", "int"), STRING, _substring),
    ),
    "indexOf": (
        Overload(("string", "string"), INT, _index_of),
        Overload(("string", "string", "int"), INT, _index_of),
    ),
    "lastIndexOf": (
        Overload(("string", "string"), INT, _last_index_of),
        Overload(("string", "string", "int"), INT, _last_index_of),
    ),
}
