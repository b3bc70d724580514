"""What is answered has the shape that is documented."""

from __future__ import annotations

from typing import Any, get_type_hints

import pytest

from engine.write import liveness
from public_api import answers
from public_api.process import ROUTES
from tests.support.public_api import ONE_STEP, WAITING, PublicApi


def documented(method: str, path: str, status: int) -> type:
    return next(route for route in ROUTES if (route.method, route.path) == (method, path)).answers[status]


def assert_shape(document: Any, shape: Any) -> None:
    hints = get_type_hints(shape)
    assert document.keys() == hints.keys()
    for name, hint in hints.items():
        inner = getattr(hint, "__args__", (None,))[0]
        if hasattr(hint, "__total__"):
            assert_shape(document[name], hint)
        elif isinstance(document[name], list) and hasattr(inner, "__total__"):
            assert document[name], f"no example of {name}"
            for each in document[name]:
                assert_shape(each, inner)


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/playbooks", "/playbooks"),
        ("/playbooks/tests/one", "/playbooks/{path:.+}"),
        ("/playbooks/tests/one/versions", "/playbooks/{path:.+}/versions"),
        ("/executions", "/executions"),
        ("/executions/{}", "/executions/{execution_id}"),
        ("/executions/by-key/k", "/executions/by-key/{key:.+}"),
        ("/executions/{}/steps", "/executions/{execution_id}/steps"),
        ("/executions/{}/events", "/executions/{execution_id}/events"),
        ("/executions/{}/incidents", "/executions/{execution_id}/incidents"),
    ],
)
async def test_a_reading_answers_its_document(api: PublicApi, path: str, route: str) -> None:
    execution_id = await api.start("tests/deep/waiting", key="k")
    await api.project(execution_id)
    await liveness.report_stalled(api.connection, [execution_id])
    answer = await api.get(path.format(execution_id))
    assert_shape(answer.json, documented("GET", route, answer.status))


async def test_a_writing_answers_its_document(api: PublicApi) -> None:
    registered = await api.register(ONE_STEP)
    assert_shape(registered.json, documented("POST", "/playbooks", 200))
    assert (await api.register(WAITING)).status == 200
    started = await api.post("/executions", {"playbook": "tests/deep/waiting"})
    assert_shape(started.json, documented("POST", "/executions", 201))
    path = f"/executions/{started.json['execution_id']}"
    told = await api.post(f"{path}/signals/later")
    assert_shape(told.json, documented("POST", "/executions/{execution_id}/signals/{name}", 202))
    cancelled = await api.post(f"{path}/cancel")
    assert_shape(cancelled.json, documented("POST", "/executions/{execution_id}/cancel", 202))
    await api.project(int(started.json["execution_id"]))
    ended = await api.get(f"{path}/wait")
    assert_shape(
        {**ended.json, "waiting_for": [dict.fromkeys(get_type_hints(answers.Waiting))]}, ended_shape()
    )


def ended_shape() -> type:
    return documented("GET", "/executions/{execution_id}/wait", 200)
