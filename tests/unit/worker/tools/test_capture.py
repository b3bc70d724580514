from __future__ import annotations

from worker.tools.capture import LINE_LIMIT, LINES_LIMIT, BoundedCapture, LineSplitter, readable


def test_lines_are_split_across_reads_and_the_last_one_is_kept() -> None:
    lines: list[str] = []
    splitter = LineSplitter(lines.append)
    for part in (b"on", b"e\ntwo\r\n\n", b"three"):
        splitter.feed(part)
    splitter.close()
    assert lines == ["one", "two", "", "three"]


def test_a_line_without_end_is_cut_and_does_not_fill_the_memory() -> None:
    lines: list[str] = []
    splitter = LineSplitter(lines.append)
    splitter.feed(b"x" * (LINE_LIMIT * 2 + 5))
    assert [len(line) for line in lines] == [LINE_LIMIT, LINE_LIMIT]
    splitter.close()
    assert lines[-1] == "xxxxx"


def test_too_many_lines_end_with_a_notice() -> None:
    lines: list[str] = []
    LineSplitter(lines.append).feed(b"x\n" * (LINES_LIMIT + 100))
    assert len(lines) == LINES_LIMIT + 1
    assert "the rest is dropped" in lines[-1]


def test_a_capture_keeps_the_first_bytes_and_says_so() -> None:
    capture = BoundedCapture(4, lambda _line: None)
    capture.feed(b"abc")
    assert not capture.truncated
    capture.feed(b"def")
    assert (capture.text(), capture.truncated) == ("abcd", True)


def test_bytes_no_store_can_keep_are_replaced() -> None:
    assert readable(b"a\x00b\xff") == "a\ufffdb\ufffd"
