"""The command that `make arch` runs sees a forbidden import in the real tree."""

from __future__ import annotations

import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.support.tree import PACKAGES, ROOT

if TYPE_CHECKING:
    from pathlib import Path

COMMAND = [sys.executable, "-c", "from importlinter.cli import lint_imports_command; lint_imports_command()"]


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, "--no-cache", "--no-logo"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_a_forbidden_import_in_the_real_tree_fails_the_command(tmp_path: Path) -> None:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    clean = lint(tmp_path)
    assert clean.returncode == 0, clean.stdout
    (tmp_path / "engine" / "domain" / "intruder.py").write_text("import asyncpg\n")
    result = lint(tmp_path)
    assert result.returncode == 1
    assert "engine.domain is pure BROKEN" in result.stdout
    assert "engine.domain.intruder -> asyncpg" in result.stdout
