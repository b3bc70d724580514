from __future__ import annotations

import pytest

from engine.errors import Malformed
from public_api.cursors import seal, unseal


@pytest.mark.parametrize("place", ["tests/one", "ü", 7, 2**31 - 1])
def test_a_cursor_gives_its_place_back_to_its_list(place: str | int) -> None:
    assert unseal(seal(place, "list", None, "x"), "list", None, "x") == place


@pytest.mark.parametrize(
    "cursor", ["", "x", "====", "W10", "bnVsbA", "WzFd", "WyJhIiwiYiJd", "\0", "ü", "e30" * 99]
)
def test_what_no_list_gave_is_refused(cursor: str) -> None:
    with pytest.raises(Malformed, match="does not belong"):
        unseal(cursor, "list")


def test_a_changed_cursor_or_another_list_is_refused() -> None:
    cursor = seal("b", "list", "tag")
    for given, listed in (
        (cursor, ("list", "other")),
        (cursor, ("list",)),
        (seal("c", "list", "tag")[:6] + cursor[6:], ("list", "tag")),
    ):
        with pytest.raises(Malformed):
            unseal(given, *listed)
