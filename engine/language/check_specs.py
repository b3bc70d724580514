"""What playbooks declare of their inputs: parts that belong to the type, defaults and choices that fit it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import orjson
from pydantic import JsonValue

from engine.language.faults import Path
from engine.language.inputs import Fitting
from engine.language.model import Input
from engine.language.report import Report

_BELONGS = {"format": "string", "items": "array", "properties": "object"}


def check_spec(report: Report, path: Path, spec: Input) -> None:
    """Report the faults of one declaration and of those inside it."""
    for key, wanted in _BELONGS.items():
        if getattr(spec, key) is not None and spec.type != wanted:
            report.add((*path, key), f"`{key}` belongs to the type {wanted}", "remove it", at_key=True)
    _check_values(report, path, spec)
    if spec.items is not None:
        check_spec(report, (*path, "items"), spec.items)
    for name, part in (spec.properties or {}).items():
        check_spec(report, (*path, "properties", name), part)


def _check_values(report: Report, path: Path, spec: Input) -> None:
    bare = spec.model_copy(update={"enum": None})
    for number, choice in enumerate(spec.enum or ()):
        if report.full:
            return
        _check_fits(report, (*path, "enum", number), bare, choice)
    for number in _again(spec.enum or ()):
        report.add((*path, "enum", number), "is listed twice", "keep one of them")
    if not spec.required and spec.default is not None:
        _check_fits(report, (*path, "default"), spec, spec.default)
        if isinstance(spec.default, str) and "${" in spec.default:
            report.add((*path, "default"), "a default is fixed, not an expression", "write the plain value")


def _again(choices: Sequence[JsonValue]) -> Iterator[int]:
    """The places of choices that stand there already."""
    seen: set[str] = set()
    for number, choice in enumerate(choices):
        written = orjson.dumps(choice, option=orjson.OPT_SORT_KEYS).decode()
        if written in seen:
            yield number
        seen.add(written)


def _check_fits(report: Report, path: Path, spec: Input, value: JsonValue) -> None:
    fitting = Fitting()
    fitting.value(spec.model_dump(by_alias=True, exclude_defaults=True), value, path)
    for misfit in fitting.misfits:
        report.add(misfit.path, misfit.message)
