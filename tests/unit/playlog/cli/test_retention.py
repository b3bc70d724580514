from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from engine.runtime import settings_loading
from playlog.cli.app import app

NOWHERE = "http://127.0.0.1:9"

runner = CliRunner()


@pytest.fixture(autouse=True)
def nothing_is_set_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in settings_loading.known_names():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["purge", "--direct"], "PLAYLOG_DATABASE_URL is not set"),
        (["partitions"], "PLAYLOG_INTERNAL_API_TOKEN is not set"),
        (["hold", "audit"], "--reason"),
    ],
)
def test_what_is_missing_is_named(arguments: list[str], said: str) -> None:
    done = runner.invoke(app, arguments)
    assert done.exit_code == 2
    assert said in done.stderr


def test_an_internal_api_that_is_away_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAYLOG_INTERNAL_API_TOKEN", "one,two")
    monkeypatch.setenv("PLAYLOG_INTERNAL_API_URL", NOWHERE)
    done = runner.invoke(app, ["holds"])
    assert done.exit_code == 1
    assert f"the internal API at {NOWHERE} cannot be used: connection refused" in done.stderr
