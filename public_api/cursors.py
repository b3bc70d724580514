"""Cursors of pages: a place in a list, bound to the list by a seal."""

from __future__ import annotations

import base64
from hashlib import blake2b

import orjson

from engine.errors import Malformed


def seal(place: str | int, *listed: object) -> str:
    """The cursor of a place in the list that `listed` describes."""
    body = orjson.dumps([place, _seal(place, listed)])
    return base64.urlsafe_b64encode(body).decode().rstrip("=")


def unseal(cursor: str, *listed: object) -> str | int:
    """The place of a cursor; raises `Malformed` (`bad_cursor`) when another list gave it, or none."""
    try:
        place, mark = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, TypeError):
        raise bad_cursor() from None
    if not isinstance(place, str | int) or mark != _seal(place, listed):
        raise bad_cursor()
    return place


def bad_cursor() -> Malformed:
    """The error for a cursor that this list did not give."""
    return Malformed("the cursor does not belong to this list", code="bad_cursor")


def _seal(place: str | int, listed: tuple[object, ...]) -> str:
    """Protects against mistakes; a cursor shows nothing secret."""
    return blake2b(orjson.dumps([place, listed]), digest_size=8, person=b"cursor").hexdigest()
