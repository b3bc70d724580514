"""The forms in which the value of a secret may turn up, and one pattern for all of them.

A value is looked for as it is, line by line when it has several, escaped as in JSON or in Python, encoded as
in URLs, and in base64 at any offset, so inside `user:password` too.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterator, Sequence
from itertools import groupby, product
from os.path import commonprefix
from urllib.parse import quote, quote_plus

import orjson

LEAST_LENGTH = 4
"""A shorter value would be found by chance all over an output, and hiding it there would tell it."""

_LEAST_ENCODED = 8
_NESTED = 3
"""How often text may be JSON within JSON: a service tells, as text, what it was sent in its JSON."""

_SAFE = (
    *("", "/", "!'()*", ";,/?:@&=+$!*'()#"),
    *("!$'()*,/:?@", "!$&'()*+,;=", "!$&'()*+,:;=@", "!$&'()*+,/:;=@", "!$&'()*+,/:;=?@"),
)
"""What encoders leave as it is: by RFC 3986, in paths, JavaScript's two functions, and our HTTP client."""


def forms_of(value: str) -> Iterator[str]:
    """Every text that stands for the value, the same one more than once."""
    yield value
    yield from _escaped(value)
    yield from _encoded(value)
    lines = [line.strip() for line in value.splitlines()]
    yield from (line for line in lines if len(line) >= LEAST_LENGTH)


def any_of(forms: Sequence[str]) -> str:
    """A pattern for the longest of some sorted texts, as a tree: few branches are tried at a character."""
    if len(forms) == 1:
        return re.escape(forms[0])
    branches = []
    for _, group in groupby(forms, key=lambda form: form[:1]):
        alike = list(group)
        begin = commonprefix(alike)  # noqa: RUF071  # of texts, no paths
        rest = [form[len(begin) :] for form in alike if form != begin]
        more = f"(?:{any_of(rest)}){'?' * (len(rest) < len(alike))}" if rest else ""
        branches.append(re.escape(begin) + more)
    return "|".join(branches)


def _escaped(text: str) -> Iterator[str]:
    for write in (json.dumps, lambda plain: orjson.dumps(plain).decode()):
        escaped = text
        for _ in range(_NESTED):
            escaped = write(escaped)[1:-1]
            yield escaped
    yield repr(text)[1:-1]
    yield repr(text.encode())[2:-1]


def _encoded(text: str) -> Iterator[str]:
    for encode, safe in product((quote, quote_plus), _SAFE):
        percent = encode(text, safe=safe)
        yield percent
        yield re.sub(r"%[0-9A-F]{2}", lambda found: found[0].lower(), percent)
    data = text.encode()
    for offset in range(3):
        # Only the characters that no neighbour of the value has a part in.
        end = (offset + len(data)) * 8 // 6
        for encode_64 in (b64encode, urlsafe_b64encode):
            kept = encode_64(bytes(offset) + data)[-(-offset * 8 // 6) : end].decode()
            if len(kept) >= _LEAST_ENCODED:
                yield kept
