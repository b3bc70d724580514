"""What can never come about in time: waits and rounds that outlast the step or the execution."""

from __future__ import annotations

from engine.domain.definition import DEFAULT_DEADLINE
from engine.domain.maps import MOST_ITEMS
from engine.language import graph
from engine.language.durations import seconds, written
from engine.language.faults import Path
from engine.language.model import Playbook, Repeat, Step, Wait
from engine.language.report import Report


def check_bounds(playbook: Playbook, report: Report) -> None:
    """Report waits, rounds and lists that are longer than what they are part of may be."""
    whole = DEFAULT_DEADLINE if playbook.deadline is None else seconds(playbook.deadline)
    if not report.whole(("deadline",)):
        whole = float("inf")
    for index, step in enumerate(playbook.steps):
        _check_step(report, ("steps", index), step, whole)


def _check_step(report: Report, path: Path, step: Step, whole: float) -> None:
    own = float("inf") if step.deadline is None else seconds(step.deadline)
    limit, owner = min((own, "the step"), (whole, "the execution"))
    if step.wait is not None:
        _check_wait(report, (*path, "wait"), step.wait, limit, owner)
    if step.repeat is not None:
        _check_rounds(report, (*path, "repeat"), step.repeat, limit, owner)
    if step.map is not None and isinstance(step.map.items, list) and len(step.map.items) > MOST_ITEMS:
        hint = "map over parts of it in child playbooks"
        message = f"has {len(step.map.items)} items, more than {MOST_ITEMS}"
        report.add((*path, "map", "items"), message, hint)


def _check_wait(report: Report, path: Path, wait: Wait, limit: float, owner: str) -> None:
    key, duration = ("for", wait.for_) if wait.for_ is not None else ("timeout", wait.timeout)
    leads_on = key == "for" or wait.on_timeout != graph.FAIL
    if leads_on and duration is not None and seconds(duration) >= limit > 0:
        hint = f"make it shorter than the deadline of {owner}, or set a longer `deadline`"
        report.add((*path, key), f"{owner} ends before, after {written(limit)}", hint)


def _check_rounds(report: Report, path: Path, repeat: Repeat, limit: float, owner: str) -> None:
    rests = (repeat.max - 1) * seconds(repeat.delay)
    if repeat.until is None and rests >= limit > 0:
        hint = "fewer rounds, a shorter `delay` or a longer `deadline`"
        message = f"the rounds rest for {written(rests)} in all, and {owner} ends after {written(limit)}"
        report.add((*path, "delay"), message, hint)
