"""A reader who has nothing gets through the quickstart."""

from __future__ import annotations

import subprocess
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.support import servers
from tests.support.page_runner import Reader
from tests.support.tree import ROOT


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this tree."""
    folder = tmp_path_factory.mktemp("dist")
    command = (sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, ROOT)
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    return next(folder.glob("*.whl"))


async def test_every_command_of_the_quickstart_does_what_the_page_shows(wheel: Path) -> None:
    with servers.temporary_home() as home:
        async with AsyncExitStack() as stack:
            reader = Reader(folder=home.parent, wheel=wheel, stack=stack)
            await reader.read(ROOT / "docs/quickstart.md")
            assert reader.id
