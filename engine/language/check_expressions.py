"""Every expression of a playbook: written rightly, of the right type, reading only what is known there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from pydantic import JsonValue

from engine.language import graph
from engine.language.check_tools import misfit
from engine.language.document import Mark
from engine.language.expressions import ExpressionFault, analyse_expression
from engine.language.expressions.analysis import Analysis
from engine.language.expressions.types import DYN, ListType, Type, worded
from engine.language.faults import Path
from engine.language.graph import Before
from engine.language.model import Compensate, Map, Playbook, Step
from engine.language.report import Report
from engine.language.scopes import Place, Scopes, input_place
from engine.language.templates import expression_in, texts
from engine.language.tools import Tool

MOST_EXPRESSIONS = 4_000
_TEXTS = frozenset({"string", "int", "bool", "timestamp", "duration", "dyn"})
_INSIDE = "build the text in the expression: \"${ 'a' + string(inputs.b) }\""


@dataclass(frozen=True, slots=True)
class _Here:
    """The step that an expression belongs to, and the steps before it; None while those are not known.

    `item` is the type of the items of its map, `tool` takes what the expression is part of.
    """

    step: Step | None
    before: Before | None
    item: Type = DYN
    tool: Tool | None = None


@dataclass(slots=True, kw_only=True)
class ExpressionCheck:
    """Finds the faults of every expression of a playbook.

    `before` are the steps that can have run before each step, or None while the edges are not known.
    """

    report: Report
    scopes: Scopes
    before: Mapping[str, Before] | None
    tools: Mapping[str, Tool]
    count: int = 0

    def playbook(self, playbook: Playbook) -> None:
        """Check the expressions of all steps and of the output."""
        for index, step in enumerate(playbook.steps):
            self._step(("steps", index), step)
        self._template(("output",), playbook.output, Place.OUTPUT, _Here(None, None))

    def _step(self, path: Path, step: Step) -> None:
        before = None if self.before is None else self.before[step.name]
        here = _Here(step, before)
        if step.map is not None:
            here = replace(here, item=self._map((*path, "map"), step.map, here))
        self._bare((*path, "when"), step.when, Place.GUARD, here)
        self._call(path, step, here)
        if step.concurrency is not None:
            self._bare((*path, "concurrency", "key"), step.concurrency.key, Place.QUEUED, here)
        self._bare((*path, "idempotency_key"), step.idempotency_key, Place.QUEUED, here)
        if step.wait is not None:
            self._bare((*path, "wait", "until"), step.wait.until, Place.MOMENT, here)
        if step.repeat is not None:
            self._bare((*path, "repeat", "until"), step.repeat.until, Place.UNTIL, here)
        for number, answer in enumerate(step.on_error or ()):
            self._bare((*path, "on_error", number, "when"), answer.when, Place.FAILURE, here)
        after = None if before is None else before.and_then(step.name)
        for number, branch in enumerate(graph.branches(step)):
            self._bare((*path, "next", number, "when"), branch.when, Place.GUARD, _Here(step, after))
        if step.compensate is not None:
            self._call((*path, "compensate"), step.compensate, _Here(None, after))

    def _map(self, path: Path, wanted: Map, here: _Here) -> Type:
        """Check a map; returns the type of its items."""
        place = Place.ITEMS if isinstance(wanted.items, str) else Place.OUTPUT
        items = self._template((*path, "items"), wanted.items, place, here)
        item = items.element if isinstance(items, ListType) else DYN
        key = self._bare((*path, "key"), wanted.key, Place.KEY, replace(here, item=item))
        if key is not None and not key.names & {wanted.as_, "item_index"}:
            hint = f"read `{wanted.as_}` or `item_index`"
            self.report.add((*path, "key"), "the key is the same for every item", hint)
        return item

    def _call(self, path: Path, call: Step | Compensate, here: _Here) -> None:
        within = replace(here, tool=self.tools.get(call.tool or ""))
        self._template((*path, "with"), call.with_, input_place(call.tool), within)
        if call.retry is not None:
            self._bare((*path, "retry", "on"), call.retry.on, Place.RETRY, here)

    def _template(self, path: Path, value: JsonValue, place: Place, here: _Here) -> Type:
        """Check every expression of a value; returns the type of one that is the whole value."""
        whole: Type = DYN
        for found, text in texts(value, path):
            try:
                inner = expression_in(text)
            except ValueError as error:
                hint = "close it" if "closing" in str(error) else _INSIDE
                start = _mark_of(text, text.index("${"))
                self.report.add_inside(found, start, str(error), hint)
                continue
            if inner is None:
                continue
            start = _mark_of(text, inner[1])
            analysis = self._analyse(found, inner[0], start, place, here)
            if analysis is not None:
                self._fits(found, start, here, found[len(path) :], analysis.type)
            if analysis is not None and found == path:
                whole = analysis.type
        return whole

    def _fits(self, path: Path, start: Mark, here: _Here, place: Path, given: Type) -> None:
        wrong = None if here.tool is None else misfit(here.tool, place, given)
        if wrong is not None:
            self.report.add_inside(path, start, wrong)

    def _bare(self, path: Path, source: str | None, place: Place, here: _Here) -> Analysis | None:
        if source is None:
            return None
        if source.lstrip().startswith("${"):
            self.report.add(path, f"`{path[-1]}` is an expression by itself", "write it without `${` and `}`")
            return None
        return self._analyse(path, source, Mark(1, 1), place, here)

    def _analyse(self, path: Path, source: str, start: Mark, place: Place, here: _Here) -> Analysis | None:
        self.count += 1
        if self.count == MOST_EXPRESSIONS + 1:
            self.report.add(path, f"more than {MOST_EXPRESSIONS} expressions", "split the playbook")
        if self.report.full or self.count > MOST_EXPRESSIONS:
            return None
        scope = self.scopes.at(place, here.step, item=here.item)
        try:
            analysis = analyse_expression(source, scope, expected=place.expected)
        except ExpressionFault as error:
            for fault in error.faults:
                mark = _shifted(start, Mark(fault.line, fault.column))
                self.report.add_inside(path, mark, fault.message, fault.hint)
            return None
        if place is Place.QUEUED and analysis.type.kind not in _TEXTS:
            message = f"text, an int or a bool is expected here, and this is {worded(analysis.type.kind)}"
            self.report.add_inside(path, start, message, "take a part of it, or string(...)")
        if here.before is not None:
            self._reads(path, source, start, analysis, here.before)
        return analysis

    def _reads(self, path: Path, source: str, start: Mark, analysis: Analysis, before: Before) -> None:
        for name in sorted(analysis.reads):
            if before.can_have_completed(name):
                continue
            used = re.search(rf"\bsteps\s*\.\s*{name}\b", source)
            mark = _shifted(start, _mark_of(source, used.start() if used else 0))
            self.report.add_inside(path, mark, *_unreadable(name, ran=before.can_have_run(name)))


def _unreadable(name: str, *, ran: bool) -> tuple[str, str]:
    """Why a step has no output here, and what to do."""
    if ran:
        return f'the step "{name}" has no output when it leads here', "read its `.status` or `.error`"
    return f'the step "{name}" cannot have run before this', "only steps that lead here can be read"


def _mark_of(text: str, offset: int) -> Mark:
    before = text[:offset]
    return Mark(before.count("\n") + 1, offset - (before.rfind("\n") + 1) + 1)


def _shifted(start: Mark, place: Mark) -> Mark:
    if place.line == 1:
        return Mark(start.line, start.column + place.column - 1)
    return Mark(start.line + place.line - 1, place.column)
