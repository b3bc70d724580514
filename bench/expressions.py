"""What expressions cost: compiled, run as guards and templates, beside plain Python and the C++ binding."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

from cel_expr_python import cel  # type: ignore[import-untyped]
from cel_expr_python.ext import ext_optional, ext_strings  # type: ignore[import-untyped]

from bench.figures import show
from engine.domain.expression import ExpressionFailed
from engine.language.expressions import Scope, compile_expression
from engine.language.expressions.types import DYN, StepsType

ORDERS = [
    {"id": number, "price": number % 97, "status": "open" if number % 3 else "paid"}
    for number in range(10_000)
]
VALUES: dict[str, object] = {
    "inputs": {"day": "2026-01-02", "limit": 100, "dry": False},
    "steps": {
        "fetch": {"output": {"status": 200, "body": {"orders": ORDERS[:20]}}, "status": "completed"},
    },
    "error": {"code": "http", "status": 503},
}
SCOPE = Scope(names={"inputs": DYN, "error": DYN, "orders": DYN, "steps": StepsType(("fetch",))})
MANY: dict[str, object] = {"orders": ORDERS}
REFERENCE = cel.NewEnv(
    variables=dict.fromkeys(SCOPE.names, cel.Type.DYN),
    extensions=[ext_strings.ExtStrings(), ext_optional.ExtOptional()],
)


@dataclass(frozen=True, kw_only=True)
class Case:
    """An expression as playbooks hold them, the same in Python, and how often a round runs it."""

    name: str
    source: str
    python: Callable[..., object]
    times: int


CASES = (
    Case(name="constant", source="true", python=lambda _: True, times=20_000),
    Case(
        name="guard",
        source="size(steps.fetch.output.body.orders) > 0",
        python=lambda v: len(v["steps"]["fetch"]["output"]["body"]["orders"]) > 0,
        times=5_000,
    ),
    Case(
        name="guard_of_three",
        source="steps.fetch.output.status == 200 && !inputs.dry && inputs.limit >= 10",
        python=lambda v: (
            v["steps"]["fetch"]["output"]["status"] == 200
            and not v["inputs"]["dry"]
            and v["inputs"]["limit"] >= 10
        ),
        times=5_000,
    ),
    Case(
        name="retry",
        source="error.status in [429, 502, 503]",
        python=lambda v: v["error"]["status"] in {429, 502, 503},
        times=10_000,
    ),
    Case(
        name="template",
        source="'http://127.0.0.1:8099/orders?day=' + inputs.day",
        python=lambda v: "http://127.0.0.1:8099/orders?day=" + v["inputs"]["day"],
        times=10_000,
    ),
    Case(
        name="map_of_20",
        source="steps.fetch.output.body.orders.map(o, {'id': o.id, 'total': o.price * 2})",
        python=lambda v: [
            {"id": o["id"], "total": o["price"] * 2} for o in v["steps"]["fetch"]["output"]["body"]["orders"]
        ],
        times=300,
    ),
)
LONG = Case(
    name="filter_of_10000",
    source="size(orders.filter(o, o.price > 90 && o.status == 'open'))",
    python=lambda v: len([o for o in v["orders"] if o["price"] > 90 and o["status"] == "open"]),
    times=1,
)
HOSTILE = "orders.exists(a, orders.exists(b, a.price * b.price + 1 < 0))"


async def run(*, quick: bool) -> None:
    """Print the time to compile and to run each case, with ratios to Python and to the reference."""
    rounds = 3 if quick else 9
    for case in CASES:
        _compiled(case, rounds)
        ours = _ran(case, VALUES, rounds)
        _compared(case, ours, rounds)
    _ran(LONG, MANY, rounds)
    _stopped(rounds)


def _compiled(case: Case, rounds: int) -> None:
    theirs = _timed(lambda: REFERENCE.compile(case.source), 20, rounds)
    ours = _timed(lambda: compile_expression(case.source, SCOPE), 20, rounds)
    show(f"expressions.compile.{case.name}", ours, "us", ratio_to=median(theirs))


def _ran(case: Case, values: dict[str, object], rounds: int) -> float:
    expression, expected = compile_expression(case.source, SCOPE), case.python(values)
    if (given := expression.run(values)) != expected:
        raise AssertionError(f"{case.name}: {given} where Python gives {expected}")
    floor = _timed(lambda: case.python(values), case.times, rounds)
    ours = _timed(lambda: expression.run(values), case.times, rounds)
    show(f"expressions.run.{case.name}", ours, "us", ratio_to=median(floor))
    return median(ours)


def _compared(case: Case, ours: float, rounds: int) -> None:
    reference, expected = REFERENCE.compile(case.source), case.python(VALUES)
    if (given := reference.eval(data=VALUES).plain_value()) != expected:
        raise AssertionError(f"{case.name}: the reference gives {given}, Python {expected}")
    theirs = _timed(lambda: reference.eval(data=VALUES), max(20, case.times // 20), rounds)
    show(f"expressions.reference.{case.name}", theirs, "us", ratio_to=ours)


def _stopped(rounds: int) -> None:
    expression = compile_expression(HOSTILE, SCOPE)

    def stopped() -> None:
        try:
            expression.run(MANY)
        except ExpressionFailed as failed:
            if failed.code == "out_of_fuel":
                return
        raise AssertionError("a hostile expression was not stopped")

    show("expressions.stopped", _timed(stopped, 1, rounds), "us")


def _timed(work: Callable[[], object], times: int, rounds: int) -> list[float]:
    """Microseconds of CPU a call, one figure a round."""
    figures = []
    for _ in range(rounds):
        began = time.process_time()
        for _ in range(times):
            work()
        figures.append((time.process_time() - began) / times * 1e6)
    return figures
