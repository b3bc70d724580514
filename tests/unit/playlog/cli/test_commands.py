from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from engine.runtime import settings_loading
from playlog import __version__
from playlog.cli.app import app

EXAMPLES = Path(__file__).parents[4] / "playbooks" / "examples"
NOWHERE = "http://127.0.0.1:9"

runner = CliRunner()


@pytest.fixture(autouse=True)
def nothing_is_set_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in settings_loading.known_names():
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


def test_the_version_can_be_asked_for_in_both_ways() -> None:
    for asked in (["version"], ["--version"]):
        done = runner.invoke(app, asked)
        assert (done.exit_code, done.stdout) == (0, f"playlog {__version__}\n")


@pytest.mark.parametrize("order", [["-o", "json", "validate"], ["validate", "--output", "json"]])
def test_the_output_option_may_stand_before_and_behind_the_command(order: list[str]) -> None:
    file = str(EXAMPLES / "hello.yaml")
    done = runner.invoke(app, [*order, file])
    assert done.exit_code == 0
    assert json.loads(done.stdout)["files"][0]["path"] == "examples/hello"


@pytest.mark.parametrize(
    "arguments",
    [
        ["get", "1"],
        ["list"],
        ["events", "1"],
        ["steps", "1"],
        ["cancel", "1", "--compensate"],
        ["pause", "1"],
        ["resume", "a/b"],
        ["retry", "1"],
        ["signal", "1", "go", "{}"],
        ["run", "examples/hello"],
        ["run", "examples/hello", "--watch"],
    ],
)
def test_an_api_that_is_away_is_one_line_and_exit_code_1(arguments: list[str]) -> None:
    done = runner.invoke(app, ["--api-url", NOWHERE, *arguments])
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == (
        f"playlog: the public API at {NOWHERE} cannot be used: connection refused; "
        "start it with `playlog dev`, or name another one by PLAYLOG_API_URL or --api-url\n"
    )


def test_a_missing_file_is_wrong_usage() -> None:
    for verb in ("validate", "register", "run"):
        done = runner.invoke(app, [verb, "not-there.yaml"])
        assert (done.exit_code, done.stderr) == (
            2,
            "playlog: not-there.yaml: no such file or directory\n",
        )


def test_checking_a_role_names_everything_that_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    bare = runner.invoke(app, ["server", "publisher", "--check"])
    assert bare.exit_code == 2
    assert "PLAYLOG_DATABASE_URL is not set; PLAYLOG_NATS_URL is not set" in bare.stderr
    monkeypatch.setenv("PLAYLOG_DATABASE_URL", "mysql://x")
    monkeypatch.setenv("PLAYLOG_NAST_URL", "nats://x")
    wrong = runner.invoke(app, ["server", "publisher", "--check"])
    assert wrong.exit_code == 2
    assert "PLAYLOG_DATABASE_URL: must start with postgresql://" in wrong.stderr
    assert "did you mean PLAYLOG_NATS_URL?" in wrong.stderr


def test_checking_a_role_with_all_it_needs_is_fine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLAYLOG_INTERNAL_API_TOKEN", "secret")
    done = runner.invoke(app, ["server", "worker", "--check"])
    assert (done.exit_code, done.stdout) == (0, "the settings of worker are in order\n")


def test_an_unknown_role_is_wrong_usage() -> None:
    assert runner.invoke(app, ["server", "cook"]).exit_code == 2


def test_migrating_nothing_is_refused() -> None:
    done = runner.invoke(app, ["migrate"])
    assert done.exit_code == 2
    assert "PLAYLOG_DATABASE_URL is not set" in done.stderr
