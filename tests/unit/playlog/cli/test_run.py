from __future__ import annotations

from pathlib import Path

import pytest
import typer

from playlog.cli.executions import read_json
from playlog.cli.run import is_file, read_inputs


def test_inputs_are_json_where_they_are_and_text_where_they_are_not() -> None:
    given = [
        "n=1",
        "f=2.5",
        "t=true",
        "z=null",
        'o={"a": [1]}',
        "s=Ada",
        'q="1"',
        "e=",
        "u=a=b",
        "d=2026-01-02",
    ]
    assert read_inputs(given) == {
        "n": 1,
        "f": 2.5,
        "t": True,
        "z": None,
        "o": {"a": [1]},
        "s": "Ada",
        "q": "1",
        "e": "",
        "u": "a=b",
        "d": "2026-01-02",
    }


@pytest.mark.parametrize("pairs", [["name"], ["=1"], ["a=1", "a=2"]])
def test_an_input_without_name_or_twice_is_wrong_usage(pairs: list[str]) -> None:
    with pytest.raises(typer.BadParameter):
        read_inputs(pairs)


def test_a_signal_carries_json_only() -> None:
    assert read_json(None) is None
    assert read_json('{"by": "me"}') == {"by": "me"}
    with pytest.raises(typer.BadParameter):
        read_json("yes")


def test_a_missing_file_is_still_meant_as_a_file(tmp_path: Path) -> None:
    plain = tmp_path / "playbook"
    plain.touch()
    assert is_file("not/there.yaml")
    assert is_file(str(plain))
    assert not is_file("examples/hello")
