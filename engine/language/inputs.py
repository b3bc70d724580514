"""The values given for a playbook's inputs, against what it declares."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TypeAlias

from engine.domain.definition import Definition
from engine.errors import Invalid
from engine.language.faults import Path, did_you_mean, one_of, path_text

MOST_HINTS = 20

Spec: TypeAlias = Mapping[str, object]

_TYPES: Mapping[str, tuple[tuple[type, ...], str]] = {
    "string": ((str,), "text"),
    "integer": ((int,), "a whole number of at most 64 bits"),
    "number": ((int, float), "a finite number"),
    "boolean": ((bool,), "true or false"),
    "array": ((list,), "a list"),
    "object": ((dict,), "a mapping"),
}
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_DATE_TIME = re.compile(
    r"\d{4}-\d{2}-\d{2}[Tt]\d{2}:\d{2}:\d{2}(?:\.\d{1,9})?(?:[Zz]|[+-]\d{2}:\d{2})", re.ASCII
)
_FORMATS = {"date": "a date such as 2026-01-31", "date-time": "a time such as 2026-01-31T09:30:00Z"}


@dataclass(frozen=True, slots=True)
class Misfit:
    """One value that does not fit: `kind` is `missing`, `unknown`, `type`, `format` or `enum`."""

    path: Path
    message: str
    kind: str


@dataclass(slots=True)
class Fitting:
    """Fits values to what is declared, and collects what does not fit."""

    misfits: list[Misfit] = field(default_factory=list)

    def mapping(
        self, specs: Mapping[str, Spec], given: Mapping[str, object], path: Path
    ) -> dict[str, object]:
        """Return `given` with defaults in the order declared; unknown and missing names are misfits."""
        for name in given:
            if name not in specs:
                hint = did_you_mean(str(name), specs) if len(self.misfits) < MOST_HINTS else None
                self._add((*path, name), f"unknown name{f', {hint}' if hint else ''}", "unknown")
        fitted: dict[str, object] = {}
        for name, spec in specs.items():
            if name in given:
                fitted[name] = self.value(spec, given[name], (*path, name))
            elif "default" in spec:
                fitted[name] = spec["default"]
            else:
                self._add((*path, name), "a value is required", "missing")
        return fitted

    def value(self, spec: Spec, value: object, path: Path) -> object:
        """Return the value as the playbook sees it: a `number` as a float, an object with its defaults."""
        wanted = spec.get("type")
        if value is None and "default" in spec and spec["default"] is None:
            return None
        if isinstance(wanted, str) and not _has_type(wanted, value):
            self._add(path, f"must be {_TYPES[wanted][1]}", "type")
            return value
        fitted = self._parts(spec, value, path)
        form, choices = spec.get("format"), spec.get("enum")
        if isinstance(form, str) and isinstance(value, str) and not _has_format(form, value):
            self._add(path, f"must be {_FORMATS[form]}", "format")
        if isinstance(choices, list) and not any(_same(value, choice) for choice in choices):
            self._add(path, f"must be {one_of(str(choice) for choice in choices[:20])}", "enum")
        return fitted

    def _parts(self, spec: Spec, value: object, path: Path) -> object:
        items, properties = spec.get("items"), spec.get("properties")
        if isinstance(value, list) and isinstance(items, Mapping):
            return [self.value(items, item, (*path, index)) for index, item in enumerate(value)]
        if isinstance(value, dict) and isinstance(properties, Mapping):
            return self.mapping(properties, value, path)
        if spec.get("type") == "number" and isinstance(value, int):
            return float(value)
        return value

    def _add(self, path: Path, message: str, kind: str) -> None:
        self.misfits.append(Misfit(path, message, kind))


def check_inputs(definition: Definition, given: Mapping[str, object]) -> dict[str, object]:
    """Return the inputs of an execution: what was given, checked, and the defaults of the rest.

    Raises `Invalid` (`invalid_inputs`) with `errors`: a list of `{loc, msg, type}`, one for every misfit.
    """
    fitting = Fitting()
    fitted = fitting.mapping(definition.inputs, given, ("inputs",))
    if fitting.misfits:
        errors = [{"loc": list(it.path), "msg": it.message, "type": it.kind} for it in fitting.misfits]
        detail = "; ".join(f"{path_text(it.path)}: {it.message}" for it in fitting.misfits[:5])
        raise Invalid(detail, code="invalid_inputs", errors=errors)
    return fitted


def _has_type(wanted: str, value: object) -> bool:
    if wanted == "any":
        return True
    if isinstance(value, bool):
        return wanted == "boolean"
    if not isinstance(value, _TYPES[wanted][0]):
        return False
    if isinstance(value, int):
        return -(2**63) <= value < 2**63
    return not isinstance(value, float) or math.isfinite(value)


def _has_format(form: str, value: str) -> bool:
    pattern = _DATE if form == "date" else _DATE_TIME
    if pattern.fullmatch(value) is None:
        return False
    try:
        date.fromisoformat(value) if form == "date" else datetime.fromisoformat(value.upper())
    except ValueError:
        return False
    return True


def _same(value: object, choice: object) -> bool:
    """Compare as JSON does: 1 is 1.0, but true is not 1."""
    return value == choice and isinstance(value, bool) == isinstance(choice, bool)
