from __future__ import annotations

import pytest

from engine.language.tools import Duration, ToolInput
from worker.tools.contract import ToolFailed, read_input


class Sample(ToolInput):
    url: str
    timeout: Duration = 1.0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("500ms", 0.5), ("30s", 30.0), ("5m", 300.0), ("1h30m", 5400.0), ("2d", 172_800.0), ("1m5ms", 60.005)],
)
def test_a_duration_is_read_in_seconds(text: str, seconds: float) -> None:
    assert read_input(Sample, {"url": "u", "timeout": text}).timeout == seconds


@pytest.mark.parametrize("value", [30, 1.5, "", "30", "s", "5 s", "-1s", "1s1h", True, None])
def test_a_bare_number_or_nonsense_is_no_duration(value: object) -> None:
    with pytest.raises(ToolFailed, match=r"with\.timeout: a duration such as"):
        read_input(Sample, {"url": "u", "timeout": value})


def test_every_fault_is_named_at_once_with_the_near_miss() -> None:
    with pytest.raises(ToolFailed) as caught:
        read_input(Sample, {"ulr": "u"})
    assert caught.value.code == "validation"
    assert "with.url: Field required" in caught.value.message
    assert "with.ulr: unknown key, did you mean url" in caught.value.message


@pytest.mark.parametrize("value", [None, [], "x", 3])
def test_an_input_that_is_no_object_is_refused(value: object) -> None:
    with pytest.raises(ToolFailed, match="an object is needed"):
        read_input(Sample, value)
