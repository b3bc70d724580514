"""What the shape alone cannot say of a playbook: its names, tools and waits, its edges and expressions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

from engine.domain.attempts import CHILD_TOOL
from engine.language.check_bounds import check_bounds
from engine.language.check_edges import check_edges
from engine.language.check_expressions import ExpressionCheck
from engine.language.check_specs import check_spec
from engine.language.check_tools import check_call
from engine.language.durations import seconds
from engine.language.expressions.tokens import KEYWORDS, RESERVED
from engine.language.faults import Path
from engine.language.model import INPUT, Compensate, Map, OnError, Playbook, Retry, Step, Wait
from engine.language.report import Report
from engine.language.scopes import RESERVED_NAMES, output_of, scopes_of
from engine.language.tools import Tool

RESERVED_SEGMENTS = frozenset({"versions", "graph"})
RESERVED_STEPS = frozenset({"end", "skip", "fail", "continue", "default", "in", "true", "false", "null"})
_EDGE_KEYS = ("name", "needs", "next", "wait", "on_error")
_QUEUED = ("concurrency", "idempotency_key")
_ONLY_WITH_TOOL = ("with", "retry", "timeout", "pool", "priority", "map", "repeat", "compensate", *_QUEUED)


def check(playbook: Playbook, report: Report, tools: Mapping[str, Tool]) -> None:
    """Report every fault of a playbook whose shape is right, except for what was left out of it."""
    for part in sorted(RESERVED_SEGMENTS.intersection(playbook.playbook.split("/"))):
        report.add(("playbook",), f'no segment of a path may be "{part}"', "choose another word")
    for name, spec in (playbook.inputs or {}).items():
        if re.fullmatch(INPUT, name) is None:
            hint = "use letters, digits and _, at most 64"
            report.add(("inputs", name), f'"{name[:60]}" is not a valid name', hint, at_key=True)
        check_spec(report, ("inputs", name), spec)
    for index, step in enumerate(playbook.steps):
        _check_step(report, ("steps", index), step, tools)
    _check_longer_than_nothing(report, ("deadline",), playbook.deadline)
    check_bounds(playbook, report)
    complete = _check_names(playbook.steps, report) and _edges_are_whole(playbook.steps, report)
    names = _all_names(playbook.steps, report)
    before = check_edges(playbook.steps, report, names, complete=complete)
    outputs = {
        step.name: output_of(step, tools)
        for index, step in enumerate(playbook.steps)
        if report.whole(("steps", index))
    }
    scopes = scopes_of(playbook, names, inputs_known=report.whole(("inputs",)), outputs=outputs)
    ExpressionCheck(report=report, scopes=scopes, before=before, tools=tools).playbook(playbook)


def _check_names(steps: Iterable[Step], report: Report) -> bool:
    """Report names that are taken; returns whether every name is unique."""
    first: dict[str, int] = {}
    unique = True
    for index, step in enumerate(steps):
        path: Path = ("steps", index, "name")
        if step.name in RESERVED_STEPS:
            report.add(path, f'"{step.name}" has a meaning of its own', "choose another name")
        if step.name in first:
            unique = False
            line = report.document.fault(("steps", first[step.name], "name"), "").line
            report.add(path, f'duplicate step "{step.name}", first in line {line}', "choose another name")
        first.setdefault(step.name, index)
    return unique


def _edges_are_whole(steps: Iterable[Step], report: Report) -> bool:
    paths = [("steps", index, key) for index, _ in enumerate(steps) for key in _EDGE_KEYS]
    return not report.left_out or all(report.whole(path) for path in paths)


def _all_names(steps: Iterable[Step], report: Report) -> frozenset[str]:
    """The names that steps have in the source, also where the step or its name is at fault."""
    names = {step.name for index, step in enumerate(steps) if report.whole(("steps", index, "name"))}
    written = [report.document.scalar(("steps", index, "name")) for index, _ in enumerate(steps)]
    return frozenset(names | {name for name in written if isinstance(name, str)})


def _check_step(report: Report, path: Path, step: Step, tools: Mapping[str, Tool]) -> None:
    _check_tool(report, path, step.tool, tools)
    check_call(report, (*path, "with"), tools.get(step.tool or ""), step.with_)
    if step.tool is None and step.wait is None and report.whole(path):
        report.add(path, f'the step "{step.name}" does nothing', "give it a `tool` or a `wait`")
    _check_longer_than_nothing(report, (*path, "timeout"), step.timeout)
    _check_longer_than_nothing(report, (*path, "deadline"), step.deadline)
    if step.retry is not None:
        _check_retry(report, (*path, "retry"), step.retry)
    if step.map is not None:
        _check_map(report, path, step, step.map)
    if step.compensate is not None:
        _check_compensate(report, (*path, "compensate"), step.compensate, tools)
    if step.tool == CHILD_TOOL:
        _check_child(report, path, step)
    _check_answers(report, (*path, "on_error"), step.on_error or ())
    if step.wait is not None:
        _check_only_wait(report, path, step)
        _check_wait(report, (*path, "wait"), step.wait)


def _check_tool(report: Report, path: Path, tool: str | None, tools: Mapping[str, Tool]) -> None:
    if tool is not None and tool not in tools:
        hint = report.nearest(tool, tools) or f"known here: {', '.join(sorted(tools))}"
        report.add((*path, "tool"), f'unknown tool "{tool}"', hint)


def _check_map(report: Report, path: Path, step: Step, wanted: Map) -> None:
    if step.repeat is not None:
        hint = "repeat in a child playbook, or keep one of them"
        report.add((*path, "repeat"), "`repeat` and `map` do not go together", hint, at_key=True)
    if wanted.as_ in RESERVED_NAMES | RESERVED | KEYWORDS:
        report.add((*path, "map", "as"), f'"{wanted.as_}" has a meaning of its own', "choose another name")
    if isinstance(wanted.items, str) and not wanted.items.lstrip().startswith("${"):
        report.add((*path, "map", "items"), "must be a list, not text", 'write "${ ... }" or a list')
    elif not isinstance(wanted.items, str | list):
        report.add((*path, "map", "items"), "must be a list", 'write "${ ... }" or a list')


def _check_compensate(report: Report, path: Path, call: Compensate, tools: Mapping[str, Tool]) -> None:
    _check_tool(report, path, call.tool, tools)
    check_call(report, (*path, "with"), tools.get(call.tool), call.with_)
    _check_longer_than_nothing(report, (*path, "timeout"), call.timeout)
    if call.retry is not None:
        _check_retry(report, (*path, "retry"), call.retry)


def _check_child(report: Report, path: Path, step: Step) -> None:
    for key in (*_QUEUED, "pool"):
        if key in step.model_fields_set:
            message = f"`{key}` belongs to what a worker does, and this step starts a child"
            report.add((*path, key), message, "write it at the steps of the child", at_key=True)


def _check_answers(report: Report, path: Path, answers: Sequence[OnError]) -> None:
    for number, answer in enumerate(answers[:-1]):
        if answer.when is None:
            hint = "write the entry without `when` last"
            report.add((*path, number), "what follows an entry without `when` is never looked at", hint)


def _check_only_wait(report: Report, path: Path, step: Step) -> None:
    if step.tool is not None:
        report.add((*path, "tool"), "a step with a `wait` has no tool", "split it in two steps", at_key=True)
        return
    written = {type(step).model_fields[name].alias or name for name in step.model_fields_set}
    for key in _ONLY_WITH_TOOL:
        if key in written:
            hint = "write it inside `wait`" if key == "timeout" else "remove it"
            report.add((*path, key), f"`{key}` belongs to a tool, and this step waits", hint, at_key=True)


def _check_wait(report: Report, path: Path, wait: Wait) -> None:
    kinds = [
        key for key, value in (("event", wait.event), ("until", wait.until), ("for", wait.for_)) if value
    ]
    if len(kinds) != 1:
        found = " and ".join(f"`{kind}`" for kind in kinds) or "none"
        report.add(
            path, f"a wait has one of `event`, `until` and `for`, not {found}", "keep one", at_key=True
        )
        return
    if kinds == ["event"] and wait.timeout is None:
        report.add(path, "a wait for an event needs an end", "add `timeout: 24h` or the like", at_key=True)
    bounded = wait.timeout is not None and kinds != ["for"]
    if kinds == ["for"] and wait.timeout is not None:
        report.add((*path, "timeout"), "`for` ends by itself", "remove the `timeout`", at_key=True)
    if "on_timeout" in wait.model_fields_set and not bounded:
        report.add((*path, "on_timeout"), "there is no `timeout` here", "remove `on_timeout`", at_key=True)
    _check_longer_than_nothing(report, (*path, "timeout"), wait.timeout)


def _check_retry(report: Report, path: Path, retry: Retry) -> None:
    both = {"delay", "max_delay"} <= retry.model_fields_set
    if both and seconds(retry.delay) > seconds(retry.max_delay):
        report.add((*path, "max_delay"), "`max_delay` is shorter than `delay`", "make it longer")


def _check_longer_than_nothing(report: Report, path: Path, duration: str | None) -> None:
    if duration is not None and seconds(duration) == 0:
        report.add(path, "must be longer than nothing", "write `30s` or the like")
