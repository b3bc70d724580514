"""Validating takes work in proportion to the source, and a hostile one is refused before it costs much."""

from __future__ import annotations

import contextlib

import pytest

from engine.errors import Invalid
from engine.language import parse
from tests.support.work import MOST_CALLS, calls_of


def cost(source: str) -> int:
    """How many functions are called to check a playbook."""

    def check() -> None:
        with contextlib.suppress(Invalid):
            parse(source.encode())

    return calls_of(check)


def playbook(count: int) -> str:
    """Each step reads the one before it, and the last one needs them all."""
    steps = [
        f"""
  - name: step_{number}
    tool: http
    when: "inputs.day != 'x'"
    with: {{url: "https://a.example", body: "${{ steps.step_{number - 1}.output.body.x + inputs.day }}"}}
    retry: {{max_attempts: 3, on: error.status == 503}}"""
        for number in range(1, count - 1)
    ]
    needed = ", ".join(f"step_{number}" for number in range(count - 1))
    first = "\n  - {name: step_0, tool: http, with: {url: 'https://a.example'}}"
    last = f"\n  - {{name: last, tool: noop, needs: [{needed}]}}"
    return f"playbook: a\ninputs: {{day: {{type: string}}}}\nsteps:{first}{''.join(steps)}{last}"


def test_a_thousand_steps_are_about_ten_times_the_work_of_a_hundred() -> None:
    small, large = playbook(100), playbook(1000)
    assert parse(large.encode()).definition.steps["last"].incoming[-1] == "step_998"
    assert cost(large) < 12 * cost(small)


def steps(line: str, count: int = 1000) -> str:
    return "playbook: a\nsteps:\n" + "\n".join(f"  - {line % number}" for number in range(count))


def one(rest: str) -> str:
    return f"playbook: a\nsteps: [{{name: a, {rest}}}]"


def inputs(rest: str) -> str:
    return f"playbook: a\ninputs: {{a: {{type: object, {rest}}}}}\nsteps: [{{name: a, tool: noop}}]"


def many(form: str, count: int) -> str:
    return ", ".join(form % number for number in range(count))


BRANCH = "{when: 'true', step: step_999}, "
EXPRESSIONS = many('k%d: "${ attempt }"', 20_000)
PROPERTIES = many("k%d: {type: string}", 5000)
HOSTILE = {
    "near misses of names": steps("{name: step_%d, tool: noop, next: stepp}"),
    "near misses in expressions": steps("{name: step_%d, tool: noop, when: steps.stepp.output}"),
    "unknown keys": one(f"tool: http, with: {{{many('k%d: 1', 20_000)}}}"),
    "unknown needs": one(f"tool: noop, needs: [{many('kkk%d', 40_000)}]"),
    "expressions": one(f"tool: noop, with: {{{EXPRESSIONS}}}"),
    "unknown defaults": inputs(f"properties: {{{PROPERTIES}}}, default: {{{many('m%d: 1', 5000)}}}"),
    "choices": inputs(f"properties: {{{PROPERTIES}}}, enum: [{many('{a: %d}', 900)}]"),
    "branches": steps(f"{{name: step_%d, tool: noop, next: [{BRANCH * 9}{{default: end}}]}}"),
    "one cycle": steps("{name: step_%d, tool: noop}", 999) + "\n  - {name: z, tool: noop, next: step_0}",
}


@pytest.mark.parametrize("source", HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_playbook_is_checked_with_bounded_work(source: str) -> None:
    assert cost(source) < MOST_CALLS
