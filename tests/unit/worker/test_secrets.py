"""Secrets come from files or variables, are read anew for each attempt, and are refused with words."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from worker.secrets import MOST_BYTES, Secrets
from worker.tools.contract import ToolFailed


def read(directory: Path | None, name: str = "TOKEN", **variables: str) -> str:
    return Secrets(directory, variables).for_attempt()(name)


def refused(directory: Path | None, name: str = "TOKEN", **variables: str) -> tuple[str, str]:
    with pytest.raises(ToolFailed) as failed:
        read(directory, name, **variables)
    return failed.value.code, failed.value.message


@pytest.mark.parametrize(
    ("written", "value"),
    [
        (b"hunter22", "hunter22"),
        (b"hunter22\n", "hunter22"),
        (b"hunter22\r\n", "hunter22"),
        (b" a b \n\n", " a b \n"),
        ("größe".encode(), "größe"),
    ],
)
def test_a_file_is_read_without_the_line_break_at_its_end(tmp_path: Path, written: bytes, value: str) -> None:
    (tmp_path / "TOKEN").write_bytes(written)
    assert read(tmp_path) == value


def test_a_file_wins_over_a_variable_and_a_variable_stands_in_for_a_missing_file(tmp_path: Path) -> None:
    (tmp_path / "TOKEN").write_text("of the file")
    assert read(tmp_path, TOKEN="of the variable") == "of the file"
    assert read(tmp_path, "OTHER", OTHER="of the variable\n") == "of the variable"
    assert read(tmp_path / "nowhere", TOKEN="of the variable") == "of the variable"
    assert read(None, TOKEN="of the variable") == "of the variable"


def test_a_changed_file_is_seen_by_the_next_attempt_and_one_attempt_sees_one_value(tmp_path: Path) -> None:
    """As a mounted Secret of Kubernetes is swapped: a link to a link to the directory of the day."""
    for day, value in (("..1", "first value"), ("..2", "second value")):
        (tmp_path / day).mkdir()
        (tmp_path / day / "TOKEN").write_text(value)
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "TOKEN").symlink_to("..data/TOKEN")
    secrets = Secrets(tmp_path)
    first = secrets.for_attempt()
    assert first("TOKEN") == "first value"
    (tmp_path / "..new").symlink_to("..2")
    (tmp_path / "..new").replace(tmp_path / "..data")
    assert first("TOKEN") == "first value"
    assert secrets.for_attempt()("TOKEN") == "second value"
    assert first.mask().text("first value, second value") == "***, second value"


def test_a_missing_secret_is_named_with_where_it_was_looked_for(tmp_path: Path) -> None:
    code, message = refused(tmp_path, OTHER="hunter22")
    assert code == "secret_missing"
    assert message == (
        "there is no secret TOKEN: this worker has neither a file TOKEN in PLAYLOG_SECRETS_DIR "
        "nor the variable PLAYLOG_SECRET_TOKEN"
    )
    assert "PLAYLOG_SECRETS_DIR is not set" in refused(None)[1]


@pytest.mark.parametrize(
    ("written", "why"),
    [
        (b"", "less than 4 characters"),
        (b"abc\n", "less than 4 characters"),
        (b"\xff\xfe\xfd\xfc", "no UTF-8 text"),
        (b"x" * (MOST_BYTES + 1), f"more than {MOST_BYTES} bytes"),
    ],
)
def test_what_cannot_be_masked_or_read_is_refused_without_showing_it(
    tmp_path: Path, written: bytes, why: str
) -> None:
    (tmp_path / "TOKEN").write_bytes(written)
    code, message = refused(tmp_path, TOKEN="never looked at")
    assert (code, why in message) == ("secret_unusable", True)
    assert "abc" not in message


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo])
def test_what_is_no_file_is_refused_at_once(tmp_path: Path, make: object) -> None:
    assert callable(make)
    make(tmp_path / "TOKEN")
    assert refused(tmp_path)[0] == "secret_unusable"


def test_nothing_is_masked_before_something_is_resolved(tmp_path: Path) -> None:
    (tmp_path / "TOKEN").write_text("hunter22")
    resolved = Secrets(tmp_path).for_attempt()
    assert not resolved.mask()
    resolved("TOKEN")
    assert resolved.mask().text("a hunter22") == "a ***"
