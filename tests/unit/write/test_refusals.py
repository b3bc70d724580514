"""Where some of several requests fail, the caller hears the gravest of the reasons."""

from __future__ import annotations

from engine.errors import Busy, Unavailable, UnknownOutcome
from engine.write.refusals import gravest


def test_that_something_may_be_committed_goes_before_that_nothing_is() -> None:
    doubt = UnknownOutcome()
    assert gravest([Busy(), doubt, Unavailable()]) is doubt
    busy = Busy()
    assert gravest([busy, Unavailable()]) is busy
