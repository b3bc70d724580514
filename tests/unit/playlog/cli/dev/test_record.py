from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from playlog.cli.dev import record

RUNNING = record.Running(
    pid=os.getpid(),
    public_api_url="http://127.0.0.1:8080",
    internal_api_url="http://127.0.0.1:8081",
    health_urls={"worker": "http://127.0.0.1:9085"},
    pids={"worker": 1},
)


def test_what_was_written_is_read_until_it_is_removed(tmp_path: Path) -> None:
    assert record.read(tmp_path) is None
    record.write(tmp_path, RUNNING)
    assert record.read(tmp_path) == RUNNING
    record.remove(tmp_path)
    record.remove(tmp_path)
    assert record.read(tmp_path) is None


def test_what_a_process_left_behind_that_is_gone_counts_for_nothing(tmp_path: Path) -> None:
    gone = os.posix_spawn("/bin/true", ["true"], {})
    os.waitpid(gone, 0)
    record.write(tmp_path, replace(RUNNING, pid=gone))
    assert record.read(tmp_path) is None


def test_a_broken_file_counts_for_nothing(tmp_path: Path) -> None:
    (tmp_path / record.NAME).write_text('{"pid": 1')
    assert record.read(tmp_path) is None
