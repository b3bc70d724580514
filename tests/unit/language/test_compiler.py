"""A canonical playbook compiles to the steps, edges and expressions that the decider reads."""

from __future__ import annotations

import pytest

from engine.domain.definition import Definition, Retry, Route, Wait
from engine.language import compile_definition, parse
from tests.support.anything import TOOLS


def compiled(steps: str, rest: str = "") -> Definition:
    source = f"playbook: a/b\n{rest}\nsteps:\n{steps}".encode()
    return compile_definition(parse(source, tools=TOOLS).canonical)


def edges(definition: Definition) -> dict[str, tuple[str, ...]]:
    return {name: step.outgoing for name, step in definition.steps.items()}


def test_a_step_follows_the_one_above_it() -> None:
    definition = compiled(
        "  - {name: one, tool: noop}\n  - {name: two, tool: noop}\n  - {name: three, tool: noop}"
    )
    assert edges(definition) == {"one": ("two",), "two": ("three",), "three": ()}
    assert definition.roots == ("one",)
    assert definition.steps["two"].incoming == ("one",)
    assert definition.steps["two"].flows == ("three",)
    assert definition.steps["two"].routes is None


def test_needs_lists_all_predecessors_and_none_makes_a_root() -> None:
    definition = compiled("""
  - {name: a, tool: noop}
  - {name: b, tool: noop, needs: []}
  - {name: c, tool: noop}
  - {name: d, tool: noop, needs: [c, a], join: any}
""")
    assert edges(definition) == {"a": ("d",), "b": ("c",), "c": ("d",), "d": ()}
    assert definition.roots == ("a", "b")
    assert definition.steps["d"].incoming == ("a", "c")
    assert definition.steps["d"].join == "any"


def test_next_replaces_the_implied_edge() -> None:
    definition = compiled("""
  - name: a
    tool: noop
    next: [{when: "steps.a.output == 1", step: c}, {when: "false", step: end}, {default: b}]
  - {name: b, tool: noop, next: end}
  - {name: c, tool: noop}
""")
    assert edges(definition) == {"a": ("c", "b"), "b": (), "c": ()}
    assert definition.steps["a"].flows == ()
    routes = definition.steps["a"].routes
    assert routes is not None
    assert [route.target for route in routes] == ["c", None, "b"]
    assert [route.when is None for route in routes] == [False, False, True]
    assert definition.steps["b"].routes == (Route(target=None),)


def test_the_step_of_a_time_out_has_an_edge_that_does_not_flow() -> None:
    definition = compiled("""
  - {name: a, wait: {event: go, timeout: 1h, on_timeout: c}}
  - {name: b, tool: noop, next: end}
  - {name: c, tool: noop}
""")
    step = definition.steps["a"]
    assert step.wait == Wait(event="go", timeout=3600.0, on_timeout="c")
    assert step.outgoing == ("b", "c")
    assert step.flows == ("b",)
    assert definition.steps["c"].incoming == ("a",)


def test_durations_become_seconds_and_defaults_apply() -> None:
    definition = compiled(
        "  - {name: a, tool: noop, timeout: 500ms, deadline: 2d, pool: gpu, priority: 3,"
        " retry: {max_attempts: 3, delay: 5m, on_lost: fail}}\n  - {name: b, wait: {for: 1m30s}}",
        "deadline: 1h\npool: batch\npriority: -1",
    )
    step = definition.steps["a"]
    assert (step.timeout, step.deadline, step.pool, step.priority) == (0.5, 172_800, "gpu", 3)
    assert step.retry == Retry(max_attempts=3, delay=300, max_delay=300, on_lost="fail")
    assert definition.steps["b"].wait == Wait(duration=90)
    assert definition.steps["b"].retry == Retry()
    assert (definition.deadline, definition.pool, definition.priority) == (3600, "batch", -1)
    plain = compiled("  - {name: a, tool: noop}")
    assert (plain.deadline, plain.pool, plain.priority) == (30 * 86400, "default", 0)
    assert plain.steps["a"].timeout == 3600


def test_expressions_say_what_they_read_and_run() -> None:
    definition = compiled(
        """
  - name: a
    tool: noop
    with: {n: "${ inputs.n * 2 }", try: "${ attempt }", plain: text}
    retry: {max_attempts: 2, on: error.code == 'busy'}
  - {name: b, tool: noop, when: steps.a.output.n > 1, with: {}}
output: {n: "${ steps.a.output.n }"}
""",
        "inputs: {n: {type: integer}}",
    )
    first, second = definition.steps["a"], definition.steps["b"]
    assert first.input is not None
    assert first.input.inputs
    assert first.input.render({"inputs": {"n": 4}, "attempt": 1}) == {"n": 8, "try": 1, "plain": "text"}
    assert first.retry.on is not None
    assert first.retry.on.run({"error": {"code": "busy"}}) is True
    assert second.when is not None
    assert second.when.reads == {"a"}
    assert second.input is not None
    assert second.input.constant
    assert definition.output is not None
    assert definition.output.reads == {"a"}
    assert definition.inputs == {"n": {"type": "integer"}}


@pytest.mark.parametrize("count", [1000])
def test_a_thousand_steps_compile(count: int) -> None:
    steps = "".join(f"  - {{name: step_{number}, tool: noop}}\n" for number in range(count))
    assert len(compiled(steps).steps) == count
