"""Each import contract can fail: a forbidden import is injected into a skeleton and breaks it.

The table repeats the one in pyproject.toml, as data: what it allows breaks no contract, what it forbids
breaks at least one.
"""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

import pytest
from grimp import ImportGraph
from importlinter.api import read_configuration
from importlinter.contracts.forbidden import ForbiddenContract
from importlinter.contracts.layers import LayersContract

OPTIONS = read_configuration(str(Path(__file__).parents[3] / "pyproject.toml"))
KINDS = {"forbidden": ForbiddenContract, "layers": LayersContract}

ENGINE = ["engine.domain", "engine.language", "engine.write", "engine.read", "engine.runtime"]
PROCESSES = ["internal_api", "public_api", "publisher", "projector", "scheduler", "worker", "playlog"]
EXTERNAL = ["asyncpg", "aiohttp", "nats"]
COLUMNS = [*ENGINE, "sql", *EXTERNAL]
INSIDE = [
    "engine.write.append",
    "engine.write.desk",
    "engine.write.executions",
    "worker.tools",
    "worker.tools.postgres",
]

TABLE = """
engine.domain    -   no  no  no  no  no  no  no  no
engine.language  yes -   no  no  no  no  no  no  no
engine.write     yes yes -   no  no  yes yes no  no
engine.read      yes yes no  -   no  yes yes no  no
engine.runtime   yes no  no  no  -   yes yes yes yes
internal_api     yes yes yes yes yes no  no  yes no
scheduler        yes yes yes yes yes no  no  yes no
public_api       yes yes no  yes yes no  no  yes no
publisher        yes no  yes yes yes no  no  no  yes
projector        yes no  no  yes yes no  no  no  yes
worker           yes yes no  no  yes no  no  yes no
playlog          yes yes no  no  yes no  no  yes no
standalone       no  no  no  no  yes no  no  no  no
"""
CELLS = [
    (importer, column, cell == "yes")
    for importer, *cells in map(str.split, TABLE.strip().splitlines())
    for column, cell in zip(COLUMNS, cells, strict=True)
    if cell != "-"
]
BEYOND_THE_TABLE = [
    ("public_api", "engine.write.executions", True),
    ("public_api", "engine.write.desk", True),
    ("public_api", "engine.write.append", False),
    ("worker.tools.postgres", "asyncpg", True),
    ("worker.tools.postgres", "nats", True),
    ("engine.domain", "engine.errors", True),
    ("engine.errors", "engine.domain", False),
    ("engine.runtime", "internal_api", False),
    ("publisher", "projector", False),
    ("playlog", "worker", False),
    ("standalone", "worker", True),
    ("standalone", "publisher", True),
    ("standalone", "playlog", False),
    ("playlog", "standalone", False),
    ("publisher", "standalone", False),
    ("engine.runtime", "standalone", False),
    ("sql", "engine.errors", False),
    ("sql", "pydantic", False),
    ("sql", "asyncpg", True),
]
PROOFS = {
    "processes": ("publisher", "projector"),
    "sql": ("sql", "pydantic"),
    "errors": ("engine.errors", "engine.domain"),
    "domain": ("engine.domain", "asyncpg"),
    "language": ("engine.language", "engine.runtime"),
    "write": ("engine.write", "engine.read"),
    "read": ("engine.read", "engine.write"),
    "runtime": ("engine.runtime", "engine.read"),
    "apis": ("scheduler", "sql"),
    "public-commands": ("public_api", "engine.write.append"),
    "publisher": ("publisher", "engine.language"),
    "projector": ("projector", "aiohttp"),
    "projector-never-writes": ("projector", "engine.write"),
    "clients": ("playlog", "engine.read"),
    "clients-drivers": ("worker", "nats"),
    "standalone": ("standalone", "engine.write"),
}


def skeleton() -> ImportGraph:
    """The packages without one import, each with one module of its own."""
    graph = ImportGraph()
    roots = ["engine", "sql", *PROCESSES, "standalone"]
    for package in [*roots, *ENGINE, "engine.errors", *INSIDE]:
        graph.add_module(package)
    for package in [*ENGINE, "sql", *PROCESSES, "standalone"]:
        graph.add_module(f"{package}.module")
    for package in [*EXTERNAL, "pydantic"]:
        graph.add_module(package, is_squashed=True)
    return graph


SKELETON = skeleton()


def broken_by(importer: str, imported: str) -> set[str]:
    graph = deepcopy(SKELETON)
    source = f"{importer}.module" if f"{importer}.module" in graph.modules else importer
    graph.add_import(importer=source, imported=imported, line_number=1, line_contents=f"import {imported}")
    return broken(graph)


def broken(graph: ImportGraph) -> set[str]:
    found = set()
    for options in OPTIONS["contracts_options"]:
        contract = KINDS[options["type"]](options["name"], OPTIONS["session_options"], options)
        if not contract.check(deepcopy(graph), verbose=False).kept:
            found.add(options["id"])
    return found


def test_a_tree_without_imports_keeps_every_contract() -> None:
    assert broken(SKELETON) == set()


def test_each_contract_has_a_proof() -> None:
    assert {options["id"] for options in OPTIONS["contracts_options"]} == set(PROOFS)


@pytest.mark.parametrize("contract", PROOFS)
def test_each_contract_can_fail(contract: str) -> None:
    assert contract in broken_by(*PROOFS[contract])


@pytest.mark.parametrize(("importer", "imported", "allowed"), CELLS + BEYOND_THE_TABLE)
def test_the_contracts_say_what_the_table_says(importer: str, imported: str, allowed: bool) -> None:  # noqa: FBT001  # a cell of the table
    assert (broken_by(importer, imported) == set()) is allowed


@pytest.mark.parametrize(
    ("importer", "imported"), [(a, b) for a in PROCESSES for b in PROCESSES if a != b], ids=str
)
def test_no_process_may_import_another(importer: str, imported: str) -> None:
    assert "processes" in broken_by(importer, imported)


def test_a_forbidden_package_is_seen_behind_another() -> None:
    graph = deepcopy(SKELETON)
    graph.add_import(importer="engine.domain.module", imported="engine.errors")
    graph.add_import(importer="engine.errors", imported="asyncpg")
    assert {"domain", "errors"} <= broken(graph)
