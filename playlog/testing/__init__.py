"""Playbooks tried out in memory: scripted tools, a virtual clock, no server.

run = given("orders.yaml", day="2026-01-02").with_results(fetch={"body": ...}).run()
"""

from playlog.testing.errors import Stuck, Unknown, Unscripted
from playlog.testing.results import Call, fail, in_turn, lose, takes
from playlog.testing.run import Run, StepRun
from playlog.testing.scenario import Scenario, given

__all__ = [
    "Call",
    "Run",
    "Scenario",
    "StepRun",
    "Stuck",
    "Unknown",
    "Unscripted",
    "fail",
    "given",
    "in_turn",
    "lose",
    "takes",
]
