"""The pytest plugin, in a pytest of its own; the how-to's example is such a test."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.support.tree import ROOT

HOWTO = ROOT / "docs" / "howto" / "test-playbooks.md"
BLOCK = re.compile(r"`([a-z_]+\.[a-z]+)`:\n\n```[a-z]+\n(.*?)```", re.DOTALL)


def pytest_in(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-p",
        "playlog.pytest_plugin",
        "-p",
        "no:cacheprovider",
        *options,
    ]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=60
    )


def test_the_example_of_the_how_to_passes(tmp_path: Path) -> None:
    blocks = dict(BLOCK.findall(HOWTO.read_text()))
    assert blocks.keys() == {"shipping.yaml", "test_shipping.py"}
    for name, content in blocks.items():
        (tmp_path / name).write_text(content)
    result = pytest_in(tmp_path, "-W", "error")
    passed = blocks["test_shipping.py"].count("\ndef test_")
    assert result.returncode == 0, result.stdout + result.stderr
    assert f"{passed} passed" in result.stdout


def test_a_failed_test_shows_the_events_and_finds_its_playbook_in_a_folder_above(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    (tmp_path / "one.yaml").write_text("{playbook: t/one, steps: [{name: a, tool: noop}]}")
    (tmp_path / "deep" / "er").mkdir(parents=True)
    test = "def test_one(playbook):\n    assert playbook('one.yaml').run().status == 'failed'\n"
    (tmp_path / "deep" / "er" / "test_one.py").write_text(test)
    result = pytest_in(tmp_path)
    assert result.returncode == 1
    assert "t/one is completed:" in result.stdout
    assert "execution.completed" in result.stdout
    (tmp_path / "one.yaml").unlink()
    assert "No such file or directory: 'one.yaml'" in pytest_in(tmp_path).stdout


def test_pytest_starts_without_anything_heavy() -> None:
    code = (
        "import sys, pytest; before = set(sys.modules); import playlog.pytest_plugin\n"
        "print({name.partition('.')[0] for name in set(sys.modules) - before})"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert found.stdout == "{'playlog'}\n"
