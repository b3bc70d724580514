from __future__ import annotations

import pytest

from engine.errors import Conflict, Denied, Invalid, Misconfigured, NotFound, Unavailable
from playlog.cli.failures import explain
from playlog.problems import ApiError, ApiUnreachable


@pytest.mark.parametrize(
    ("status", "code"),
    [
        *((400, 2), (401, 4), (403, 4), (404, 3), (409, 5), (410, 3)),
        *((413, 2), (422, 2), (429, 1), (500, 1), (503, 1), (504, 124)),
    ],
)
def test_the_status_of_an_answer_decides_the_exit_code(status: int, code: int) -> None:
    assert explain(ApiError(status, {"detail": "no"})).code == code


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (NotFound(), 3),
        (Denied(), 4),
        (Conflict(), 5),
        (Invalid(), 2),
        (Misconfigured(), 2),
        (Misconfigured(code="home_in_use"), 5),
        (Misconfigured(code="port_busy"), 5),
        (Unavailable(), 1),
        (TimeoutError("late"), 124),
        (FileNotFoundError(2, "No such file or directory", "a.yaml"), 2),
    ],
)
def test_an_error_of_our_own_decides_the_exit_code(error: Exception, code: int) -> None:
    assert explain(error).code == code


def test_an_error_says_what_where_and_what_to_do() -> None:
    away = explain(ApiUnreachable("http://127.0.0.1:8080", "connection refused")).text
    assert away == (
        "the public API at http://127.0.0.1:8080 cannot be used: connection refused; "
        "start it with `playlog dev`, or name another one by PLAYLOG_API_URL or --api-url"
    )
    unknown = ApiError(404, {"detail": "there is no playbook a", "code": "unknown_playbook"})
    assert explain(unknown).text == (
        "there is no playbook a; register it with `playlog register FILE`; paths are case-sensitive"
    )
    missing = FileNotFoundError(2, "No such file or directory", "a.yaml")
    assert explain(missing).text == "a.yaml: no such file or directory"
