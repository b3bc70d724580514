"""The flat layout is safe: our top-level names are ours alone."""

from __future__ import annotations

import sys
from importlib.metadata import packages_distributions

import pytest

from tests.support.tree import PACKAGES, ROOT

OWNERS = packages_distributions()


@pytest.mark.parametrize("package", [*PACKAGES, "bench", "docs", "k8s", "tests"])
def test_no_other_installed_distribution_owns_one_of_our_names(package: str) -> None:
    assert set(OWNERS.get(package, [])) <= {"playlog"}


def test_no_top_level_name_is_one_of_the_standard_library() -> None:
    names = {path.stem for path in ROOT.iterdir() if path.is_dir() or path.suffix == ".py"}
    assert names & sys.stdlib_module_names == set()


def test_every_package_of_the_wheel_exists_and_is_one() -> None:
    assert [name for name in PACKAGES if not (ROOT / name / "__init__.py").is_file()] == []


def test_every_folder_with_code_is_a_package() -> None:
    folders = {path.parent for package in PACKAGES for path in (ROOT / package).rglob("*.py")}
    assert sorted(folder for folder in folders if not (folder / "__init__.py").is_file()) == []
