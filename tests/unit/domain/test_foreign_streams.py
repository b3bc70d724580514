"""Laws of the streams of other systems, which are folded and never decided."""

from __future__ import annotations

from hypothesis import given as for_all
from hypothesis import settings
from hypothesis import strategies as st

from engine.domain.admit import Admission, Origin, Verdict, admit_foreign
from engine.domain.events import NewEvent
from engine.domain.evolve import fold
from engine.domain.execution import initial
from engine.domain.snapshot import encode
from tests.support.play import EXECUTION_ID, Play, definition_of


@settings(max_examples=30, deadline=None)
@for_all(st.lists(st.sampled_from(["order.noted", "playbook.completed", "step.x", "execution.failed"])))
def test_a_foreign_stream_folds_the_same_in_any_two_parts(types: list[str]) -> None:
    play = Play(definition_of("{playbook: t/x, steps: [{name: a, tool: noop}]}"))
    play.stream.state = initial(EXECUTION_ID, None)
    for name in types:
        event = NewEvent(event_type=name, status="RUNNING", step="a", event_id=len(play.log) + 1)
        assert admit_foreign(event, Origin.OUTSIDE).verdict is Verdict.RECORDED
        play.enter(Admission(Verdict.RECORDED, event))
    whole = encode(fold(initial(EXECUTION_ID, None), play.log))
    for cut in range(len(play.log) + 1):
        first = fold(initial(EXECUTION_ID, None), play.log[:cut])
        assert encode(fold(first, play.log[cut:])) == whole
    assert len(play.log) == len(types)
