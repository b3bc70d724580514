"""One meaning of a function or method: the kinds it takes, the type it gives, and how it is run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from engine.language.expressions.types import Type


@dataclass(frozen=True, slots=True)
class Overload:
    """The kinds it takes (a method's target first) and what it gives; `run` is given the frame first."""

    kinds: tuple[str, ...]
    result: Type
    run: Callable[..., object]
