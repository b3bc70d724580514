"""Migration files are read strictly, before a database is asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from sql.migration import MigrationError, read

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("names", "complaint"),
    [
        (["1_first"], r"1_first\.sql: a migration is called NNNN_words\.sql"),
        (["0001_First"], "in lower case"),
        (["0001_first", "0003_third"], "0003_third: the next number must be 0002"),
        (["0001_first", "0001_other"], "0001_other: the next number must be 0002"),
        (["0002_second"], "0002_second: the next number must be 0001"),
    ],
)
def test_names_and_numbers_leave_no_room_for_doubt(tmp_path: Path, names: list[str], complaint: str) -> None:
    for name in names:
        (tmp_path / f"{name}.sql").write_text("SELECT 1;")
    with pytest.raises(MigrationError, match=complaint):
        read(tmp_path)


def test_an_unknown_directive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "0001_first.sql").write_text("-- playlog: no-transactions\nSELECT 1;")
    with pytest.raises(MigrationError, match="unknown directive 'no-transactions'"):
        read(tmp_path)


def test_a_directive_further_down_is_a_comment(tmp_path: Path) -> None:
    (tmp_path / "0001_first.sql").write_text("\n" * 5 + "-- playlog: no-transaction\nSELECT 1;")
    assert read(tmp_path)[0].in_transaction


def test_a_dollar_quoted_body_outside_a_transaction_is_refused(tmp_path: Path) -> None:
    (tmp_path / "0001_first.sql").write_text("-- playlog: no-transaction\nDO $$ BEGIN; END $$;")
    with pytest.raises(MigrationError, match="a dollar-quoted body"):
        read(tmp_path)


def test_statements_outside_a_transaction_end_with_a_semicolon_at_the_end_of_a_line(tmp_path: Path) -> None:
    text = "-- playlog: no-transaction\nSELECT 'a;b';  \n\n-- Why.\nSELECT\n    2;\n-- the end\n"
    (tmp_path / "0001_first.sql").write_text(text)
    assert read(tmp_path)[0].statements() == [
        "-- playlog: no-transaction\nSELECT 'a;b'",
        "-- Why.\nSELECT\n    2",
    ]
