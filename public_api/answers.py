"""What routes answer: the shapes of the documents and the headers that go with them."""

from __future__ import annotations

from typing import TypedDict

from aiohttp import web
from yarl import URL

from engine.read.executions import Found
from engine.runtime.http import json_response
from engine.write.executions import Standing

NOT_STORED = "no-store, must-revalidate"
REVALIDATED = "no-cache"
VERSION = "Playlog-Version"
PROJECTION_VERSION = "Playlog-Projection-Version"


class RegisteredPlaybook(TypedDict):
    """A playbook version; `created` says whether this request made it."""

    path: str
    version: int
    hash: str
    created: bool


class PlaybookVersion(TypedDict):
    """One version of a playbook in a list."""

    path: str
    version: int
    hash: str
    description: str | None
    owner: str | None
    tags: list[str]
    created_at: str


class PlaybookItem(PlaybookVersion):
    """A playbook in a list, in its newest version."""

    paused: bool


class Playbook(PlaybookItem):
    """A playbook in one version, as it was written and as it is understood."""

    latest_version: int
    source: str
    definition: dict[str, object]


class PlaybookPage(TypedDict):
    """A page of playbooks in the order of their paths."""

    items: list[PlaybookItem]
    next_cursor: str | None


class VersionPage(TypedDict):
    """A page of the versions of a playbook, newest first."""

    items: list[PlaybookVersion]
    next_cursor: str | None


class Standings(TypedDict):
    """Where an execution stands after a write."""

    execution_id: str
    version: int
    status: str


class ParentStep(TypedDict):
    """The step of another execution that started this one."""

    execution_id: str
    step: str


class ExecutionItem(TypedDict):
    """An execution in a list."""

    execution_id: str
    playbook: str | None
    playbook_version: int | None
    definition_hash: str | None
    status: str
    version: int
    labels: dict[str, str]
    key: str | None
    started_at: str | None
    ended_at: str | None
    parent: ParentStep | None


class ExecutionPage(TypedDict):
    """A page of executions in the order of their ids, which is by time."""

    items: list[ExecutionItem]
    next_cursor: str | None


class Items(TypedDict):
    """How far maps are: `open` items are being tried, `left` have not begun; others were cut short."""

    total: int
    completed: int
    failed: int
    open: int
    left: int


class Progress(TypedDict):
    """How many steps there are and where they stand, and the items of all maps together."""

    total: int
    completed: int
    failed: int
    running: int
    skipped: int
    items: Items | None


class Waiting(TypedDict):
    """What a live execution waits for, since when, until when at the latest, and who has the next move."""

    what: str
    step: str | None
    item: int | None
    undoing: bool
    attempt: int | None
    since: str | None
    until: str | None
    not_before: str | None
    owner: str
    items: Items | None


class Execution(ExecutionItem):
    """An execution with its values."""

    inputs: object
    output: object
    error: object
    current_steps: list[str]
    progress: Progress
    waiting_for: list[Waiting]


class IncidentItem(TypedDict):
    """What stands in the way of an execution, and what a person can do about it."""

    kind: str
    subject: str
    detail: str
    remedy: str
    opened_at: str
    seen_at: str


class IncidentList(TypedDict):
    """Open incidents, oldest first."""

    items: list[IncidentItem]


class StepItem(TypedDict):
    """A step of an execution."""

    step: str
    status: str
    attempts: int
    failures: int
    lost: int
    items: Items | None
    skip_reason: str | None
    child: str | None
    started_at: str | None
    ended_at: str | None


class StepList(TypedDict):
    """All steps of an execution in the order of its playbook."""

    items: list[StepItem]


class Event(TypedDict):
    """A recorded event."""

    version: int
    event_id: str
    event_type: str
    step: str | None
    attempt: int | None
    item: int | None
    status: str
    payload: object
    meta: dict[str, object] | None
    command_id: str | None
    causation_id: str | None
    traceparent: str | None
    created_at: str | None
    recorded_at: str


class EventPage(TypedDict):
    """Events in version order; `next_after_version` leads on while there are more."""

    items: list[Event]
    next_after_version: int | None


class EventStream:
    """An answer of server-sent events, which goes on; see the messages of its route."""


class EventOfExecution(Event):
    """A recorded event, with the execution that it belongs to."""

    execution_id: str
    playbook: str | None


class EndOfExecution(TypedDict):
    """The last message of the stream of an execution that has ended: where its log then stood."""

    version: int
    status: str


class Reset(TypedDict):
    """What follows does not join on to what came before: the stream of this generation is another."""

    generation: int


class LogLine(TypedDict):
    """A line that a tool wrote; `seq` counts within the command, and `id` leads on after it."""

    id: str
    step: str
    attempt: int
    command_id: str
    seq: int
    stream: str
    line: str
    logged_at: str


class LogPage(TypedDict):
    """Lines in the order in which they arrived; `next_after` leads on while there may be more."""

    items: list[LogLine]
    next_after: str | None


class EndOfLogs(TypedDict):
    """The last message of the lines of an execution that has ended."""

    status: str


def document(content: object, *, status: int = 200, headers: dict[str, str] | None = None) -> web.Response:
    """A document that no cache keeps."""
    return json_response(content, status=status, headers={"Cache-Control": NOT_STORED, **(headers or {})})


def page(request: web.Request, content: object, **place: str | int | None) -> web.Response:
    """A page of a list; `place` is the parameter that leads to the next page, None at the end."""
    onwards = {name: str(value) for name, value in place.items() if value is not None}
    if not onwards:
        return document(content)
    # Of the path only: what a proxy shows to the client as host and scheme is not known here.
    target = URL(request.rel_url.path_qs).update_query(onwards)
    return document(content, headers={"Link": f'<{target}>; rel="next"'})


def standing(where: Standing, *, status: int, location: str | None = None) -> web.Response:
    """Where an execution stands after a write."""
    content: Standings = {
        "execution_id": str(where.execution_id),
        "version": where.version,
        "status": where.status,
    }
    headers = {VERSION: str(where.version)}
    if location is not None:
        headers["Location"] = location
    return document(content, status=status, headers=headers)


def snapshot(request: web.Request, found: Found) -> web.Response:
    """An execution with its entity tag, or 304 when the client has that already."""
    headers = {
        "ETag": f'"{found.etag}"',
        "Cache-Control": REVALIDATED,
        VERSION: str(found.version),
        PROJECTION_VERSION: str(found.version),
    }
    if _is_known(request, found.etag):
        return web.Response(status=304, headers=headers)
    return json_response(found.document, headers=headers)


def content(request: web.Request, body: bytes, tag: str) -> web.Response:
    """Bytes that never change, as a file: no browser is to guess what they might be."""
    headers = {"ETag": f'"{tag}"', "Cache-Control": REVALIDATED, "X-Content-Type-Options": "nosniff"}
    if _is_known(request, tag):
        return web.Response(status=304, headers=headers)
    return web.Response(body=body, content_type="application/octet-stream", headers=headers)


def _is_known(request: web.Request, tag: str) -> bool:
    """Whether the client says that it has the entity of this tag."""
    return not {tag, "*"}.isdisjoint(known.value for known in request.if_none_match or ())
