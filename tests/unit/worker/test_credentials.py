from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from engine.errors import Misconfigured
from worker.credentials import Token

if TYPE_CHECKING:
    from pathlib import Path


def test_of_several_tokens_the_first_is_sent() -> None:
    assert Token(value=" new , old").read() == "new"


def test_a_file_is_read_again_when_it_changes_and_kept_while_it_is_away(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("one\n")
    token = Token(file=file)
    assert token.read() == "one"
    file.write_text("second")
    assert token.read() == "second"
    file.write_text("")
    assert token.read() == "second"
    file.unlink()
    assert token.read() == "second"
    (tmp_path / "other").write_text("third")
    file.symlink_to(tmp_path / "other")
    assert token.read() == "third"


@pytest.mark.parametrize("value", [None, ""])
def test_a_worker_without_a_token_does_not_start(value: str | None) -> None:
    with pytest.raises(Misconfigured, match="PLAYLOG_INTERNAL_API_TOKEN"):
        Token(value=value)
