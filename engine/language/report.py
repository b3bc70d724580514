"""Where a check puts what it finds, without the faults that only follow from others."""

from __future__ import annotations

from dataclasses import dataclass, field

from engine.language.document import Document, Mark
from engine.language.faults import Fault, Path


@dataclass(slots=True, kw_only=True)
class Report:
    """Faults of one document; `left_out` are the paths that already have one and are not in the model."""

    document: Document
    left_out: frozenset[Path] = frozenset()
    faults: list[Fault] = field(default_factory=list)

    def add(self, path: Path, message: str, hint: str | None = None, *, at_key: bool = False) -> None:
        """Report a fault at the value of `path` (or its key), unless that part is known to be broken."""
        if not self._broken(path):
            self.faults.append(self.document.fault(path, message, hint, at_key=at_key))

    def add_inside(self, path: Path, place: Mark, message: str, hint: str | None = None) -> None:
        """Report a fault at a place inside the text at `path`."""
        if not self._broken(path):
            self.faults.append(self.document.fault_inside(path, place, message, hint))

    def whole(self, path: Path) -> bool:
        """Whether nothing at or under `path` was left out."""
        return not self._broken(path) and not any(out[: len(path)] == path for out in self.left_out)

    def _broken(self, path: Path) -> bool:
        return any(path[: len(out)] == out for out in self.left_out)
