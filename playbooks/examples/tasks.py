"""The functions that the small examples call; all of them give the same whenever they are called."""

from __future__ import annotations

from typing import TypedDict


class Reservation(TypedDict):
    """What is kept for somebody, under an id."""

    id: str
    item: str


def measure(word: str, attempt: int = 2) -> int:
    """Return the length of a word; of `bee` only at the second attempt, and of nothing never."""
    if not word:
        raise ValueError("there is nothing to measure")
    if word == "bee" and attempt == 1:
        raise ConnectionError("the bee has flown away")
    return len(word)


def unsteady(attempt: int, good_attempt: int) -> str:
    """Fail before the good attempt, like a service that is down for a moment."""
    if attempt < good_attempt:
        raise ConnectionError(f"attempt {attempt} has found nobody")
    return f"attempt {attempt} was good"


def draft(remark: str) -> str:
    """Write a text, or write it again with a remark in mind."""
    return f"a text that is not {remark}" if remark else "a text"


def progress(asked: int) -> dict[str, int]:
    """Return how far something has come that is done when asked for the fourth time."""
    return {"percent": min(100, asked * 25)}


def reserve(item: str) -> Reservation:
    """Keep an item for somebody."""
    return {"id": f"{item}-1", "item": item}


def release(reservation: Reservation) -> str:
    """Give back what was kept; a second time does no harm."""
    return f"{reservation['id']} is free again"
