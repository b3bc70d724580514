"""Where a check puts what it finds, without the faults that only follow from others."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from engine.language.document import Document, Mark
from engine.language.faults import MAX_FAULTS, Fault, Path, did_you_mean


@dataclass(slots=True, kw_only=True)
class Report:
    """Faults of one document; `left_out` are the paths that already have one and are not in the model.

    Guessing what was meant costs more than anything else, so it ends, as the looking does, with the
    faults that can be shown.
    """

    document: Document
    left_out: frozenset[Path] = frozenset()
    faults: list[Fault] = field(default_factory=list)
    _above: frozenset[Path] = field(init=False)

    def __post_init__(self) -> None:
        self._above = frozenset(out[:length] for out in self.left_out for length in range(len(out) + 1))

    @property
    def full(self) -> bool:
        """Whether there are as many faults as are shown."""
        return len(self.faults) >= MAX_FAULTS

    def add(self, path: Path, message: str, hint: str | None = None, *, at_key: bool = False) -> None:
        """Report a fault at the value of `path` (or its key), unless that part is known to be broken."""
        if not self._broken(path):
            self.faults.append(self.document.fault(path, message, hint, at_key=at_key))

    def add_inside(self, path: Path, place: Mark, message: str, hint: str | None = None) -> None:
        """Report a fault at a place inside the text at `path`."""
        if not self._broken(path):
            self.faults.append(self.document.fault_inside(path, place, message, hint))

    def nearest(self, word: str, known: Iterable[str]) -> str | None:
        """Return the hint that names the known word nearest to `word`, while faults are still shown."""
        return None if self.full else did_you_mean(word, known)

    def whole(self, path: Path) -> bool:
        """Whether nothing at, above or under `path` was left out."""
        return path not in self._above and not self._broken(path)

    def _broken(self, path: Path) -> bool:
        return any(path[:length] in self.left_out for length in range(len(path) + 1))
