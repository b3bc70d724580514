"""Where the project lies and which files are product."""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PACKAGES: list[str] = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]


def product_files() -> list[Path]:
    """Every Python file that the wheel holds."""
    return sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
