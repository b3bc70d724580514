"""Files of named statements are read strictly."""

from __future__ import annotations

import pytest

from sql.queries import Queries, QueryFileError, load, nouns, parse

GOOD = """\
-- What the file is about.

-- name: claim
-- Takes one row.
SELECT 1
WHERE $1 > 0;

-- name: settle
-- Finishes it.
-- A second comment belongs to the statement.
DELETE FROM t
"""


def test_statements_are_attributes_without_their_semicolon() -> None:
    queries = Queries("thing", parse("thing", GOOD))
    assert queries.claim == "SELECT 1\nWHERE $1 > 0"
    assert queries.settle == "-- A second comment belongs to the statement.\nDELETE FROM t"
    assert list(queries) == ["claim", "settle"]


def test_an_unknown_statement_is_an_attribute_error_with_the_near_miss() -> None:
    queries = Queries("thing", parse("thing", GOOD))
    with pytest.raises(
        AttributeError, match=r"queries/thing\.sql has no statement named settel; did you mean settle\?"
    ):
        _ = queries.settel


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (GOOD + "-- name: claim\n-- Again.\nSELECT 2;", "claim is defined twice"),
        ("-- name: claim\nSELECT 1;", "claim needs one describing comment line"),
        ("-- name: claim\n--\nSELECT 1;", "claim needs one describing comment line"),
        ("-- name: claim\n-- Takes.\n;", "claim has no statement"),
        ("-- name: Claim it\n-- Takes.\nSELECT 1;", "'Claim it' is not a name"),
        ("SELECT 0;\n-- name: claim\n-- Takes.\nSELECT 1;", "text before the first"),
        ("-- nothing here\n", "holds no `-- name:` block"),
    ],
)
def test_a_file_that_breaks_the_format_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(QueryFileError, match=complaint):
        parse("thing", text)


def test_a_missing_file_is_refused() -> None:
    with pytest.raises(QueryFileError, match=r"queries/nowhere\.sql cannot be read"):
        load("nowhere")


@pytest.mark.parametrize("noun", nouns())
def test_every_packaged_file_loads(noun: str) -> None:
    assert len(load(noun)) > 0
