"""`/playbooks`: registering sources, and reading what is registered."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from typing import Annotated

from aiohttp import web
from pydantic import Field

from engine.errors import Invalid, Malformed, NotFound
from engine.language import ParsedPlaybook, parse
from engine.language.model import SEGMENT
from engine.read import playbooks
from engine.read.playbooks import PlaybookFilters
from engine.runtime.database import checkout
from engine.runtime.http import parse_json, read_body
from engine.write import catalog
from public_api import answers, fields
from public_api.answers import Playbook, PlaybookPage, RegisteredPlaybook, VersionPage
from public_api.bodies import Body
from public_api.cursors import bad_cursor, seal, unseal
from public_api.query import Query, fault, invalid
from public_api.routes import JSON, Call, Group

YAML_TYPES = ("application/yaml", "application/x-yaml", "text/yaml", "text/x-yaml")
FIRST_BELOW = fields.MAX_VERSION
PATH = re.compile(f"{SEGMENT}(/{SEGMENT})*")

routes = Group()


class RegisterQuery(Query):
    """`dry_run` only checks."""

    dry_run: fields.Flag = False


class PlaybooksQuery(Query):
    """What a list is narrowed to."""

    search: fields.Text | None = None
    tag: fields.Text | None = None
    owner: fields.Text | None = None
    paused: fields.Flag | None = None
    limit: Annotated[fields.Whole, Field(ge=1, le=200)] = 20
    cursor: str | None = None


class PlaybookBody(Body):
    """What of a playbook can be changed: whether new executions of it may start."""

    paused: bool


class VersionQuery(Query):
    """Which version; the newest when none is given."""

    version: Annotated[fields.Whole, Field(ge=1, le=fields.MAX_VERSION)] | None = None


class VersionsQuery(Query):
    """A page of versions."""

    limit: Annotated[fields.Whole, Field(ge=1, le=200)] = 20
    cursor: str | None = None


@routes.add(
    "POST",
    "/playbooks",
    answers={201: RegisteredPlaybook, 200: RegisteredPlaybook},
    problems=(400, 413, 415, 422),
    media=(*YAML_TYPES[:1], JSON),
)
async def register(call: Call, *, query: RegisterQuery) -> web.Response:
    """Register a playbook: 201 for a new version, 200 when its newest version is the same.

    The body is the source in YAML or JSON, or `{"source": "..."}`. A dry run answers 200 and the version
    that registering would give.
    """
    body = await read_body(call.request)
    async with call.api.parsing:
        # A hostile source takes seconds to refuse; a thread keeps the other requests moving meanwhile.
        source, parsed = await asyncio.to_thread(_parse, body, _content_type(call.request))
    async with checkout(call.api.pool) as connection:
        if query.dry_run:
            latest = await playbooks.get(connection, parsed.path)
            return answers.document(_would_register(parsed, latest))
        done = await catalog.register(connection, parsed, source)
    content = _registered(done.path, done.version, done.definition_hash, created=done.created)
    return answers.document(content, status=201 if done.created else 200)


@routes.add("GET", "/playbooks", answers={200: PlaybookPage}, problems=(400, 422))
async def list_playbooks(call: Call, *, query: PlaybooksQuery) -> web.Response:
    """List playbooks in the order of their paths, each in its newest version."""
    filters = PlaybookFilters(search=query.search, tag=query.tag, owner=query.owner, paused=query.paused)
    listed = ("playbooks", query.search, query.tag, query.owner, query.paused)
    after = "" if query.cursor is None else unseal(query.cursor, *listed)
    if not isinstance(after, str):
        raise bad_cursor()
    async with checkout(call.api.pool) as connection:
        items = await playbooks.list_playbooks(connection, filters, after=after, limit=query.limit + 1)
    shown = items[: query.limit]
    cursor = seal(str(shown[-1]["path"]), *listed) if len(items) > query.limit else None
    return answers.page(call.request, {"items": shown, "next_cursor": cursor}, cursor=cursor)


@routes.add("GET", "/playbooks/{path:.+}/versions", answers={200: VersionPage}, problems=(400, 404, 422))
async def versions(call: Call, *, path: str, query: VersionsQuery) -> web.Response:
    """List the versions of a playbook, newest first."""
    below = FIRST_BELOW if query.cursor is None else unseal(query.cursor, "versions", path)
    if not isinstance(below, int):
        raise bad_cursor()
    async with checkout(call.api.pool) as connection:
        items = await playbooks.versions(connection, _known(path), below=below, limit=query.limit + 1)
    if not items and query.cursor is None:
        raise _unknown()
    shown = items[: query.limit]
    last = shown[-1]["version"] if len(items) > query.limit else None
    cursor = seal(last, "versions", path) if isinstance(last, int) else None
    return answers.page(call.request, {"items": shown, "next_cursor": cursor}, cursor=cursor)


@routes.add("GET", "/playbooks/{path:.+}", answers={200: Playbook}, problems=(404, 422))
async def get(call: Call, *, path: str, query: VersionQuery) -> web.Response:
    """Return a playbook, its newest version unless another is asked for."""
    async with checkout(call.api.pool) as connection:
        found = await playbooks.get(connection, _known(path), query.version)
    if found is None:
        raise _unknown()
    return answers.document(found)


@routes.add("PATCH", "/playbooks/{path:.+}", answers={200: Playbook}, problems=(400, 404, 415, 422))
async def change(call: Call, *, path: str, body: PlaybookBody) -> web.Response:
    """Pause a playbook, so that no execution of it starts any more, or allow that again.

    What runs already goes on; a step that would start it as a child fails.
    """
    async with checkout(call.api.pool) as connection:
        await catalog.pause(connection, _known(path), paused=body.paused)
        found = await playbooks.get(connection, path)
    return answers.document(found)


def _content_type(request: web.Request) -> str:
    given = request.content_type.lower() if "Content-Type" in request.headers else ""
    if given not in {*YAML_TYPES, JSON}:
        raise Malformed(
            f"a playbook is sent as {YAML_TYPES[0]} or {JSON}", code="unsupported_media_type", status=415
        )
    return given


def _parse(body: bytes, content_type: str) -> tuple[str, ParsedPlaybook]:
    """The source and what it means; raises `Malformed`, or `Invalid` with every fault."""
    name = "playbook.yaml"
    if content_type == JSON:
        name = "playbook.json"
        wrapped = parse_json(body)
        if isinstance(wrapped, dict) and "source" in wrapped:
            body, name = _unwrapped(wrapped), "playbook.yaml"
    try:
        return body.decode(errors="replace"), parse(body, name)
    except Invalid as error:
        raise _with_errors(error) from None


def _unwrapped(wrapped: Mapping[str, object]) -> bytes:
    source = wrapped["source"]
    errors = [fault(("body", name), "unknown name", "unknown") for name in wrapped if name != "source"]
    if not isinstance(source, str):
        errors.append(fault(("body", "source"), "must be text", "type"))
    if errors or not isinstance(source, str):
        raise invalid(errors, "invalid_body")
    return source.encode()


def _with_errors(error: Invalid) -> Invalid:
    """The faults of a playbook also as `errors`, as every problem with several faults has them."""
    faults: Sequence[Mapping[str, str]] = error.data["faults"]
    errors = [{"loc": ["body", each["path"]], "msg": each["text"], "type": "fault"} for each in faults]
    return Invalid(error.detail, code=error.code, errors=errors, faults=faults)


def _would_register(parsed: ParsedPlaybook, latest: Mapping[str, object] | None) -> RegisteredPlaybook:
    newest = 0 if latest is None else latest["latest_version"]
    if not isinstance(newest, int):
        raise TypeError("latest_version is an integer")
    is_new = latest is None or latest["hash"] != parsed.hash.hex()
    return _registered(parsed.path, newest + is_new, parsed.hash, created=is_new)


def _registered(path: str, version: int, definition_hash: bytes, *, created: bool) -> RegisteredPlaybook:
    return {"path": path, "version": version, "hash": definition_hash.hex(), "created": created}


def _known(path: str) -> str:
    """The path if a playbook may have it."""
    if len(path) > fields.MAX_TEXT or not PATH.fullmatch(path):
        raise _unknown()
    return path


def _unknown() -> NotFound:
    return NotFound("there is no such playbook, or not in this version", code="unknown_playbook")
