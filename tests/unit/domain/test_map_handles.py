"""What maps gave, where deciding meets it: told by sizes, read as far as it is small, passed on whole."""

from __future__ import annotations

import orjson
import pytest

from engine.domain.handles import MOST_BYTES, MapKey, parse_map_uri
from tests.support.play import EXECUTION_ID, Play, given

MAPPED = """
playbook: t/mapped
inputs: {items: {type: array}}
steps:
  - {name: each, tool: noop, map: {items: "${ inputs.items }", on_item_error: %s}, retry: {max_attempts: 1}}
  - {name: use, tool: noop, with: {x: "${ %s }"}}
output: "${ steps.use.output }"
"""
MIB = 2**20


def mapped(count: int, use: str, on_item_error: str = "continue") -> Play:
    return given(MAPPED % (on_item_error, use), items=list(range(count)))


def asked(play: Play) -> object:
    (command,) = [command for command in play.commands if command.step == "use"]
    return orjson.loads(command.input)["x"]


def test_elements_kept_apart_count_for_what_a_worker_fetches_and_not_for_what_is_read() -> None:
    for size, fits in ((12 * MIB, True), (MOST_BYTES, False)):
        play = mapped(5, "steps.each.output")
        for item in range(5):
            play.complete_large(f"each[{item}]", [item], size)
        if fits:
            assert isinstance(asked(play), list)
            play.check_replay()
        else:
            assert play.error["code"] == "value_too_large"
            assert f"{5 * MOST_BYTES} bytes" in str(play.error["message"])
        assert [uri for uri in play.read if uri.startswith("payload:")] == []


def test_a_long_list_of_elements_kept_apart_says_both_sizes() -> None:
    play = mapped(500, "steps.each.output")
    for item in range(500):
        play.complete_large(f"each[{item}]", [item], 100_000)
    reference = asked(play)["reference"]  # type: ignore[index]
    assert (reference["count"], reference["apart"]) == (500, 50_000_000)
    assert 64 * 1024 < reference["bytes"] < 100_000
    assert play.read == []


def test_the_errors_of_items_are_as_large_as_they_are() -> None:
    play = mapped(4, "size(steps.each.errors) > 1 ? steps.each.errors : []")
    for item in range(4):
        play.fail(f"each[{item}]", "bad", details="x" * 40_000)
    reference = asked(play)["reference"]  # type: ignore[index]
    assert (reference["count"], reference["uri"].rpartition("/")[2]) == (4, "errors")
    assert 160_000 < reference["bytes"] < 161_000
    assert play.read == []


@pytest.mark.parametrize(
    "use", ["steps.each.errors[1].item", "steps.each.output[2]", "steps.each.errors[?9]"]
)
def test_an_index_reads_a_list_or_an_element_of_it(use: str) -> None:
    play = mapped(3, use + (".orValue(1)" if "?" in use else ""))
    play.complete("each[2]", 1)
    play.fail("each[1]")
    play.fail("each[0]")
    assert asked(play) == 1


def test_an_index_beyond_the_list_is_told_with_its_length_and_reads_nothing() -> None:
    play = mapped(2, "steps.each.output[2]")
    play.complete("each[0]")
    play.complete("each[1]")
    assert (
        play.error["message"] == "missing_key: steps.each.output[2]: no such index; the list has 2 elements"
    )
    assert play.read == []


def test_the_item_that_fails_the_step_has_failed_and_the_others_are_cut_short() -> None:
    play = mapped(300, "1", on_item_error="fail")
    play.complete("each[3]")
    play.fail("each[7]")
    found = play.state.steps["each"].map
    assert found is not None
    assert (found.failures, found.successes, found.dropped, found.open) == (1, 1, 99, {})
    play.check_replay()


def test_an_item_that_cannot_even_begin_is_the_one_that_failed() -> None:
    source = (MAPPED % ("fail", "1")).replace("retry:", 'with: {x: "${ 10 / item }"}, retry:')
    play = given(source, items=[1, 2, 0, 4])
    found = play.state.steps["each"].map
    assert found is not None
    assert (play.error["item"], found.failures, found.successes) == (2, 1, 0)
    play.check_replay()


@pytest.mark.parametrize("item", [None, 0, 17])
def test_an_address_is_read_as_it_was_written(item: int | None) -> None:
    key = MapKey(EXECUTION_ID, "each", 3, 9, "outputs", item)
    assert parse_map_uri(key.uri) == key


@pytest.mark.parametrize(
    "uri",
    ["map:1/each/3-9/other", "map:1/each/3/outputs", "map:01/each/3-9/outputs", "map:1/Each/3-9/outputs"],
)
def test_what_is_no_address_of_a_map_is_none(uri: str) -> None:
    assert parse_map_uri(uri) is None
