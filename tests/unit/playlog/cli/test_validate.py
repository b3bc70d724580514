from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from engine.language import json_schema
from playlog.cli.app import app

EXAMPLES = Path(__file__).parents[4] / "playbooks" / "examples"
GOOD = "playbook: a\nsteps:\n  - {name: one, tool: noop}\n"
BAD = "playbook: a\nsteps:\n  - {name: one, tool: nop, next: tow}\n  - {name: two, wait: {event: go}}\n"

runner = CliRunner()


@pytest.fixture(autouse=True)
def an_empty_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("file", sorted(EXAMPLES.glob("*.yaml")), ids=lambda file: file.stem)
def test_a_valid_playbook_is_said_to_be_valid(file: Path) -> None:
    done = runner.invoke(app, ["validate", str(file)])
    assert done.exit_code == 0
    assert f"{file} is valid: examples/{file.stem}" in done.stdout


def test_every_fault_is_shown_where_it_stands_with_what_to_do() -> None:
    Path("a.yaml").write_text(BAD)
    done = runner.invoke(app, ["validate", "a.yaml"])
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.splitlines() == [
        "a.yaml:3:23  steps[0].tool",
        '  unknown tool "nop"',
        " 3 |   - {name: one, tool: nop, next: tow}",
        '   |                       ^^^ did you mean "noop"?',
        "",
        "a.yaml:3:34  steps[0].next",
        '  there is no step "tow"',
        " 3 |   - {name: one, tool: nop, next: tow}",
        '   |                                  ^^^ did you mean "two"?',
        "",
        "a.yaml:4:17  steps[1].wait",
        "  a wait for an event needs an end",
        " 4 |   - {name: two, wait: {event: go}}",
        "   |                 ^^^^ add `timeout: 24h` or the like",
        "",
        "a.yaml: 3 faults",
    ]


def test_a_hint_that_does_not_fit_behind_the_caret_stands_below_it() -> None:
    Path("a.yaml").write_text(f"playbook: a\nsteps:\n  - {{name: one, description: {'x' * 40}, tool: nop}}\n")
    done = runner.invoke(app, ["validate", "a.yaml"])
    assert done.stderr.splitlines()[4:6] == ['   = did you mean "noop"?', ""]


def test_files_directories_and_standard_input_are_counted_together() -> None:
    Path("a.yaml").write_text(BAD)
    Path("more/deep").mkdir(parents=True)
    Path("more/deep/b.yml").write_text(GOOD)
    Path("more/compose.yaml").write_text("services: {}\n")
    done = runner.invoke(app, ["validate", "a.yaml", "more", "-", "away.yaml"], input=GOOD)
    assert done.exit_code == 2
    assert done.stdout.splitlines() == [
        "more/deep/b.yml is valid: a, 1 step, hash 8a6bbaaf5c0a",
        "<stdin> is valid: a, 1 step, hash 8a6bbaaf5c0a",
    ]
    assert "playlog: away.yaml: no such file or directory" in done.stderr
    assert done.stderr.endswith("3 faults in 1 file, 1 not readable, 2 valid\n")


def test_a_directory_without_playbooks_is_not_silently_fine() -> None:
    Path("empty").mkdir()
    done = runner.invoke(app, ["validate", "empty"])
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr == "playlog: empty: no YAML file in this directory has a key `playbook`\n"


@pytest.mark.parametrize("wanted", [["--json"], ["--output", "json"]])
def test_programs_get_one_shape_whatever_was_found(wanted: list[str]) -> None:
    Path("a.yaml").write_text(BAD)
    Path("b.yaml").write_text(GOOD)
    done = runner.invoke(app, ["validate", "a.yaml", "b.yaml", "c.yaml", *wanted])
    assert (done.exit_code, done.stderr) == (2, "")
    told = json.loads(done.stdout)
    assert (told["valid"], told["faults"]) == (False, 3)
    bad, good, away = told["files"]
    assert bad["faults"][1] == {
        "line": 3,
        "column": 34,
        "path": "steps[0].next",
        "message": 'there is no step "tow"',
        "hint": 'did you mean "two"?',
        "text": 'a.yaml:3:34: steps[0].next: there is no step "tow", did you mean "two"?',
    }
    assert good.pop("hash").startswith("8a6bbaaf")
    assert good == {"file": "b.yaml", "valid": True, "path": "a", "steps": 1, "faults": []}
    assert away == {"file": "c.yaml", "valid": False, "error": "no such file or directory", "faults": []}


def test_a_hundred_faults_are_said_to_be_no_count() -> None:
    steps = "".join(f"  - {{name: step_{number}, tool: nop}}\n" for number in range(150))
    Path("a.yaml").write_text(f"playbook: a\nsteps:\n{steps}")
    assert runner.invoke(app, ["validate", "a.yaml"]).stderr.endswith("a.yaml: 100 faults or more\n")


def test_the_schema_is_printed_as_it_lies_beside_the_examples() -> None:
    done = runner.invoke(app, ["schema", "playbook"])
    assert (done.exit_code, json.loads(done.stdout)) == (0, json_schema())
    assert done.stdout == (EXAMPLES.parent / "playbook.schema.json").read_text()
