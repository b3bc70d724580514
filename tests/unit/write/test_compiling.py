"""Large definitions are compiled beside the event loop, small ones on it."""

from __future__ import annotations

import threading

import pytest

from engine.domain.definition import Definition
from engine.language import compile_definition, parse
from engine.write import compiling


def playbook(expressions: int) -> bytes:
    values = ", ".join(["'${ execution.id }'"] * expressions)
    return parse(
        f"{{playbook: t/x, steps: [{{name: a, tool: noop}}], output: [{values}]}}".encode()
    ).canonical


@pytest.mark.parametrize(("expressions", "loops"), [(1, [True]), (1_500, [False])])
async def test_a_large_definition_is_compiled_in_a_thread(
    expressions: int, loops: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[int] = []

    def recorded(canonical: bytes) -> Definition:
        threads.append(threading.get_ident())
        return compile_definition(canonical)

    monkeypatch.setattr(compiling, "compile_definition", recorded)
    canonical = playbook(expressions)
    assert (await compiling.compiled(canonical)).hash == compile_definition(canonical).hash
    assert [thread == threading.get_ident() for thread in threads] == loops
