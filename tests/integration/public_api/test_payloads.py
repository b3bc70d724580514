"""What readers are told when there is no such large value; that they find one is proved with the worker."""

from __future__ import annotations

import pytest

from tests.support.public_api import PublicApi


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("executions/{id}/payloads/" + "0" * 64, 404, "unknown_payload"),
        ("executions/1/payloads/" + "0" * 64, 404, "unknown_execution"),
        ("executions/x/payloads/" + "0" * 64, 404, "unknown_execution"),
        ("executions/{id}/payloads/" + "A" * 64, 422, "invalid_hash"),
        ("executions/{id}/payloads/" + "0" * 63, 422, "invalid_hash"),
    ],
)
async def test_readers_of_what_is_not_there_are_told(
    api: PublicApi, path: str, status: int, code: str
) -> None:
    execution_id = await api.start()
    answer = await api.get(f"/{path.format(id=execution_id)}")
    assert (answer.status, answer.json["code"]) == (status, code)
