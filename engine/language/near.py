"""The known word that was probably meant."""

from __future__ import annotations

import difflib
import heapq
from collections.abc import Iterable

MOST_COMPARED = 100
LONGEST = 100


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that looks most like `word`, if one does.

    Among very many only the likeliest are compared. Swapped letters are the likeliest slip: `dya` is rather
    `day` than `dry`.
    """
    word, words = word[:LONGEST], sorted(known)
    if len(words) > MOST_COMPARED:
        words = heapq.nlargest(MOST_COMPARED, words, key=lambda each: _likeness(word, each))
    near = difflib.get_close_matches(word, words, n=5)
    letters = sorted(word)
    return next((one for one in near if sorted(one) == letters), near[0] if near else None)


def _likeness(word: str, known: str) -> int:
    """The letters that both begin with, less those that one has more than the other."""
    pairs = enumerate(zip(word, known, strict=False))
    same = next((place for place, (one, other) in pairs if one != other), min(len(word), len(known)))
    return same - abs(len(word) - len(known))
