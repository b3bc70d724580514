"""Hides the values of secrets in what leaves a worker; what is cut is masked before it is cut."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

import orjson

from worker.secret_forms import any_of, forms_of

STARS = "***"
_NUMBER = re.compile(r"[-+.eE0-9]+")


class Mask:
    """Hides some values; without any, everything stays as it is."""

    def __init__(self, values: Iterable[str] = ()) -> None:
        self._forms = sorted({form for value in values for form in forms_of(value)})
        self._pattern = re.compile(any_of(self._forms))
        self._bytes = re.compile(self._pattern.pattern.encode())
        self._in_numbers = any(_NUMBER.fullmatch(form) for form in self._forms)

    def __bool__(self) -> bool:
        return bool(self._forms)

    def text(self, text: str) -> str:
        """Return the text with `***` in place of every value."""
        return self._pattern.sub(STARS, text) if self._forms else text

    def value(self, value: object) -> object:
        """Return JSON data with every text, key and number masked.

        What is nested too deeply to be looked through is hidden whole; what is no JSON stays as it is.
        """
        try:
            return self._masked(value) if self._forms else value
        except RecursionError:
            return STARS

    def stream(self, feed: Callable[[bytes], None]) -> MaskedStream:
        """Return what passes bytes on to `feed`, masked wherever they were divided."""
        return MaskedStream(self._bytes, [form.encode() for form in self._forms], feed)

    def _masked(self, value: object) -> object:
        match value:
            case None | bool():
                return value
            case str():
                return self.text(value)
            case dict():
                return {self._masked(key): self._masked(part) for key, part in value.items()}
            case list() | tuple():
                return [self._masked(part) for part in value]
            case int() | float():
                return self._number(value)
            case _:
                return self._written(value)

    def _written(self, value: object) -> object:
        """Data that only becomes JSON when it is written, such as a record of Python."""
        try:
            return self._masked(orjson.loads(orjson.dumps(value)))
        except TypeError:
            return value

    def _number(self, number: float) -> object:
        if not self._in_numbers:
            return number
        text = str(number) if isinstance(number, int) else orjson.dumps(number).decode()
        masked = self.text(text)
        return number if masked == text else masked


NO_MASK = Mask()


class MaskedStream:
    """Masks bytes on their way; holds back an end that may be the beginning of a value."""

    def __init__(self, pattern: re.Pattern[bytes], forms: list[bytes], feed: Callable[[bytes], None]) -> None:
        self._pattern = pattern
        self._forms = forms
        self._feed = feed
        self._held = b""

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        if not self._forms:
            self._feed(data)
            return
        data = self._held + data
        end = self._safe_end(data)
        self._held = data[end:]
        if end:
            self._feed(self._pattern.sub(STARS.encode(), data[:end]))

    def close(self) -> None:
        """Pass on what is held back: nothing follows."""
        if self._held:
            self._feed(self._pattern.sub(STARS.encode(), self._held))
            self._held = b""

    def _safe_end(self, data: bytes) -> int:
        """How much can be judged now: all before what may go on, and before what reaches into that."""
        end = min((_beginning(form, data) for form in self._forms), default=len(data))
        for found in self._pattern.finditer(data):
            if found.end() > end:
                return min(found.start(), end)
        return end


def _beginning(form: bytes, data: bytes) -> int:
    """Where the data ends in the beginning of a form, as long as that may be; else its length."""
    place = data.find(form[:1], max(0, len(data) - len(form) + 1))
    while place >= 0:
        if form.startswith(data[place:]):
            return place
        place = data.find(form[:1], place + 1)
    return len(data)
