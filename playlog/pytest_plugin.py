"""What pytest loads of playlog: the fixture `playbook`, and the events of its runs below a failed test.

Loaded at every start of pytest where playlog is installed, so it imports nothing else before it is used.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playlog.testing import Run, Scenario

_RUNS = pytest.StashKey[list["Run"]]()


@pytest.fixture
def playbook(request: pytest.FixtureRequest) -> Callable[..., Scenario]:
    """Begin a scenario: `playbook("orders.yaml", day="2026-01-02")`, as `playlog.testing.given` does.

    A relative path is looked up beside the test's file, then in each folder above it. When the test fails,
    the events of its runs are part of the report.
    """
    runs = request.node.stash.setdefault(_RUNS, [])

    def begin(source: str | Path, /, **inputs: object) -> Scenario:
        from playlog.testing import given  # noqa: PLC0415  # only tests that use it pay for it

        found = _found(source, request.path.parent, request.config.rootpath)
        return replace(given(found, **inputs), observe=runs.append)

    return begin


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add what happened in the runs of a failed test to its report."""
    report = yield
    runs = item.stash.get(_RUNS, [])
    if report.failed and runs:
        report.sections.append(("playlog", "\n\n".join(map(str, runs))))
    return report


def _found(source: str | Path, folder: Path, root: Path) -> str | Path:
    """The nearest file of that name, from the folder up to the root; anything else as it is."""
    if isinstance(source, str) and ("\n" in source or "{" in source):
        return source
    above = [folder, *folder.parents]
    within = above[: above.index(root) + 1] if root in above else above[:1]
    return next((place / source for place in within if (place / source).is_file()), source)
