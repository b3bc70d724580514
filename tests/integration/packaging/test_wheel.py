"""What is built can be installed and run far away from the source tree."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from typing import TYPE_CHECKING

import pytest

from playlog import __version__
from tests.support.tree import PACKAGES, ROOT

if TYPE_CHECKING:
    from pathlib import Path


def run(*command: str | Path, cwd: str | Path = "/") -> str:
    result = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=240)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the source distribution and the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT, cwd=folder)
    return folder


def test_the_wheel_holds_every_file_of_the_packages_and_nothing_else(built: Path) -> None:
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
    wanted = {
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert names == wanted
    assert {"sql/schema.sql", "sql/bootstrap.sql", "sql/migrations/0001_event_log.sql"} <= names


def test_the_source_distribution_holds_what_is_needed_to_build_and_test(built: Path) -> None:
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}
    for needed in ("LICENSE", "README.md", "CHANGELOG.md", "Makefile", "pyproject.toml", "tests/conftest.py"):
        assert needed in names
    assert not [name for name in names if name.startswith((".venv", ".playlog", ".git/", ".mypy_cache"))]


@pytest.fixture(scope="module")
def python(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Python with the wheel installed; the dependencies are those of this run, without what is ours."""
    environment = tmp_path_factory.mktemp("installed") / "venv"
    run(sys.executable, "-m", "venv", environment)
    python = environment / "bin" / "python"
    run(python, "-m", "pip", "install", "--no-deps", "--no-index", "--quiet", next(built.glob("*.whl")))
    (site,) = (environment / "lib").glob("python*/site-packages")
    (site / "dependencies.pth").write_text(f"{next(p for p in sys.path if p.endswith('site-packages'))}\n")
    return python


def test_the_installed_command_runs_from_the_root_folder(python: Path) -> None:
    assert __version__ in run(python.with_name("playlog"), "--version")
    code = "import engine, sql.queries; print(engine.__file__, len(sql.queries.nouns()))"
    (site,) = python.parents[1].glob("lib/python*/site-packages")
    assert run(python, "-c", code).startswith(f"{site}/engine/")


def test_the_installed_plugin_gives_tests_of_playbooks_their_fixture(python: Path, tmp_path: Path) -> None:
    (tmp_path / "one.yaml").write_text("{playbook: t/one, steps: [{name: a, tool: noop}]}")
    test = "def test_one(playbook):\n    assert playbook('one.yaml').run().status == 'completed'\n"
    (tmp_path / "test_one.py").write_text(test)
    assert "1 passed" in run(python, "-m", "pytest", "-p", "no:cacheprovider", cwd=tmp_path)
