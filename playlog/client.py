"""The client of the public API: start executions, follow them, send them signals.

async with Client() as client:
    started = await client.start("examples/hello", {"name": "Ada"})
    ended = await client.wait(started["execution_id"], seconds=60)
    print(ended["output"])
"""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Final, Self, cast
from urllib.parse import quote

import aiohttp
import orjson
from pydantic import JsonValue

from engine.runtime.settings import ClientSettings
from engine.runtime.settings_loading import load
from playlog.answers import (
    Event,
    EventPage,
    Execution,
    Incident,
    IncidentList,
    ListPage,
    LogLine,
    LogPage,
    Playbook,
    Registered,
    Standing,
    Step,
    StepList,
)
from playlog.event_streams import MESSAGE, SILENT_SECONDS, EventStream, Sent
from playlog.problems import ApiError, ApiUnreachable, document_of, reason_of

DEFAULT_URL = "http://127.0.0.1:8080"
BASE = "/api/v1"
CONNECT_SECONDS = 5.0
SECONDS = 30.0
LONGEST_WAIT = 20.0
"""The longest that one request asks the server to hold; longer waits are several requests."""
PAGE = 200
NOT_IN_TIME = 504
NOTHING: Final = object()
"""No body, which is not the same as the body null."""


class Client:
    """Speaks to one public API; use it with `async with`.

    Without arguments `PLAYLOG_API_URL` and `PLAYLOG_API_TOKEN` count. Every request has a time limit.
    Methods raise `ApiError` (the API says no) and `ApiUnreachable` (no answer).
    """

    def __init__(self, url: str | None = None, token: str | None = None, *, seconds: float = SECONDS) -> None:
        if url is None or token is None:
            settings = load(ClientSettings)
            url = url or settings.api_url or DEFAULT_URL
            token = token or (settings.api_token.get_secret_value() if settings.api_token else None)
        self.url = url.rstrip("/")
        self._token = token
        self._seconds = seconds
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        self._session = aiohttp.ClientSession(headers=headers)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._session is not None:
            await self._session.close()

    async def register(self, source: str) -> Registered:
        """Store a playbook (YAML or JSON) as the newest version of its path; the same again is the same."""
        return cast("Registered", await self._ask("POST", "/playbooks", body={"source": source}))

    async def pause_playbook(self, playbook: str, *, paused: bool) -> Playbook:
        """Refuse new executions of a playbook, or allow them again; those that run go on."""
        path = f"/playbooks/{quote(playbook)}"
        return cast("Playbook", await self._ask("PATCH", path, body={"paused": paused}))

    async def start(
        self,
        playbook: str,
        inputs: Mapping[str, JsonValue] | None = None,
        *,
        key: str | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> Standing:
        """Start an execution; the same `key` with the same order answers the first one's execution."""
        order: dict[str, object] = {"playbook": playbook, "inputs": inputs or {}}
        if key is not None:
            order["key"] = key
        if labels:
            order["labels"] = labels
        return cast("Standing", await self._ask("POST", "/executions", body=order))

    async def get(
        self, execution_id: str, *, min_version: int | None = None, wait: float | None = None
    ) -> Execution:
        """Return an execution; with `min_version` one that shows at least that version within `wait` s.

        Raises `ApiError` 409 `stale` when it does not within that time.
        """
        query = {"min_version": min_version, "wait": wait}
        answer = await self._ask("GET", _path(execution_id), query=query, longer=wait or 0.0)
        return cast("Execution", answer)

    async def wait(self, execution_id: str, *, seconds: float | None = None) -> Execution:
        """Wait until an execution has ended and return it; raises `TimeoutError` after `seconds`."""
        async with asyncio.timeout(seconds):
            while True:
                try:
                    query = {"timeout_seconds": LONGEST_WAIT}
                    path = f"{_path(execution_id)}/wait"
                    answer = await self._ask("GET", path, query=query, longer=LONGEST_WAIT)
                except ApiError as error:
                    if error.status != NOT_IN_TIME:
                        raise
                else:
                    return cast("Execution", answer)

    async def list(  # the filters of the route
        self,
        *,
        status: str | None = None,
        playbook: str | None = None,
        label: str | None = None,
        search: str | None = None,
        limit: int = 20,
        cursor: str | None = None,
    ) -> ListPage:
        """Return a page of executions, the newest first; `label` is `name` or `name=value`."""
        query = {
            "status": status,
            "playbook": playbook,
            "label": label,
            "search": search,
            "limit": limit,
            "cursor": cursor,
        }
        return cast("ListPage", await self._ask("GET", "/executions", query=query))

    async def events(
        self, execution_id: str, *, after_version: int = 0, limit: int | None = None
    ) -> builtins.list[Event]:
        """Return the recorded events in version order: all of them, or the first `limit`."""
        found: builtins.list[Event] = []
        onwards: int | None = after_version
        while onwards is not None and (limit is None or len(found) < limit):
            size = PAGE if limit is None else min(PAGE, limit - len(found))
            query = {"after_version": onwards, "limit": size}
            answer = await self._ask("GET", f"{_path(execution_id)}/events", query=query)
            page = cast("EventPage", answer)
            found += page["items"]
            onwards = page["next_after_version"]
        return found

    async def steps(
        self, execution_id: str, *, min_version: int | None = None, wait: float | None = None
    ) -> builtins.list[Step]:
        """Return every step in the order of the playbook; `min_version` and `wait` as for `get`."""
        query = {"min_version": min_version, "wait": wait}
        path = f"{_path(execution_id)}/steps"
        return cast("StepList", await self._ask("GET", path, query=query, longer=wait or 0.0))["items"]

    async def incidents(self, execution_id: str) -> builtins.list[Incident]:
        """Return the open incidents that stand in the way of an execution, oldest first."""
        return cast("IncidentList", await self._ask("GET", f"{_path(execution_id)}/incidents"))["items"]

    async def payload(self, uri: str) -> JsonValue:
        """Return the large value that a reference names: `payload:<execution_id>/...` or `map:...`."""
        scheme, _, rest = uri.rpartition(":")
        execution_id, _, name = rest.partition("/")
        kind, kept = ("maps", "/") if scheme == "map" else ("payloads", "")
        return await self._ask("GET", f"{_path(execution_id)}/{kind}/{quote(name, safe=kept)}")

    async def cancel(
        self, execution_id: str, reason: str | None = None, *, compensate: bool = False
    ) -> Standing:
        """End an execution, with `compensate` after its completed steps are undone; repeatable.

        Raises 409 for one that has ended otherwise, or is being compensated for another reason.
        """
        return await self._tell(execution_id, "cancel", reason=reason, compensate=compensate or None)

    async def pause(self, execution_id: str, reason: str | None = None) -> Standing:
        """Hand out no more of its commands until it is resumed; what workers have goes on."""
        return await self._tell(execution_id, "pause", reason=reason)

    async def resume(self, execution_id: str, reason: str | None = None) -> Standing:
        """Hand out the commands that a pause has held."""
        return await self._tell(execution_id, "resume", reason=reason)

    async def retry(
        self, execution_id: str, *, step: str | None = None, reason: str | None = None
    ) -> Standing:
        """Begin again, in the same execution, what failed or was cancelled; `step` must be part of that."""
        return await self._tell(execution_id, "retry", step=step, reason=reason)

    async def _tell(self, execution_id: str, verb: str, **said: object) -> Standing:
        body = {name: value for name, value in said.items() if value is not None}
        return cast("Standing", await self._ask("POST", f"{_path(execution_id)}/{verb}", body=body))

    async def signal(
        self, execution_id: str, name: str, data: JsonValue = None, *, idempotency_key: str | None = None
    ) -> Standing:
        """Send a signal; one that nobody waits for yet is kept."""
        path = f"{_path(execution_id)}/signals/{quote(name, safe='')}"
        headers = {} if idempotency_key is None else {"Idempotency-Key": idempotency_key}
        return cast("Standing", await self._ask("POST", path, body=data, headers=headers))

    async def stream(
        self, execution_id: str, *, after_version: int = 0, types: Iterable[str] | None = None
    ) -> AsyncIterator[Event]:
        """Yield its events, each exactly once and in order, as they are recorded, until it has ended.

        Nothing is polled. An API that is away or busy is asked again for a minute or so.
        """
        query = {"types": None if types is None else ",".join(types)}
        path = f"{_path(execution_id)}/stream"
        async for sent in self._listen(path, query, str(after_version)):
            if sent.event == MESSAGE:
                yield cast("Event", sent.data)

    async def stream_all(
        self,
        *,
        after: str | None = None,
        playbook: str | None = None,
        types: Iterable[str] | None = None,
        status: Iterable[str] | None = None,
    ) -> AsyncIterator[Sent]:
        """Yield the events of all executions as they are published, each at least once, for ever.

        It begins now, or after the `id` of an event. What is named `reset` instead of `message` says that
        events between those before and after it may be missing.
        """
        query = {
            "playbook": playbook,
            "types": None if types is None else ",".join(types),
            "status": None if status is None else ",".join(status),
        }
        async for sent in self._listen("/events/stream", query, after):
            yield sent

    async def logs(
        self,
        execution_id: str,
        *,
        step: str | None = None,
        attempt: int | None = None,
        after: str | None = None,
        limit: int = PAGE,
    ) -> LogPage:
        """Return lines that its tools wrote, in the order in which they arrived, after that of an id."""
        query = {"step": step, "attempt": attempt, "after": after, "limit": limit}
        return cast("LogPage", await self._ask("GET", f"{_path(execution_id)}/logs", query=query))

    async def stream_logs(
        self,
        execution_id: str,
        *,
        step: str | None = None,
        attempt: int | None = None,
        after: str | None = None,
    ) -> AsyncIterator[LogLine]:
        """Yield lines that its tools write, each exactly once, until it has been over for some seconds."""
        query = {"step": step, "attempt": attempt, "follow": "true"}
        async for sent in self._listen(f"{_path(execution_id)}/logs", query, after):
            if sent.event == MESSAGE:
                yield cast("LogLine", sent.data)

    def _listen(self, path: str, query: Mapping[str, object], after: str | None) -> EventStream:
        session = self._opened()
        parameters = {name: str(value) for name, value in query.items() if value is not None}
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=SILENT_SECONDS)

        def connect(headers: Mapping[str, str]) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
            url = f"{self.url}{BASE}{path}"
            return session.get(url, params=parameters, headers=headers, timeout=timeout)

        return EventStream(self.url, connect, after)

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise RuntimeError("use the client with `async with`")
        return self._session

    async def _ask(  # the parts of a request
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, object] | None = None,
        body: object = NOTHING,
        headers: Mapping[str, str] | None = None,
        longer: float = 0.0,
    ) -> JsonValue:
        """Return the document of the answer; `longer` is what the server was asked to wait, in seconds."""
        said = dict(headers or {})
        data = None
        if body is not NOTHING:
            data = orjson.dumps(body)
            said["Content-Type"] = "application/json"
        timeout = aiohttp.ClientTimeout(total=self._seconds + longer, sock_connect=CONNECT_SECONDS)
        parameters = {name: str(value) for name, value in (query or {}).items() if value is not None}
        try:
            async with self._opened().request(
                method, f"{self.url}{BASE}{path}", params=parameters, data=data, headers=said, timeout=timeout
            ) as answer:
                return document_of(self.url, answer.status, await answer.read())
        except TimeoutError:
            raise ApiUnreachable(self.url, f"no answer within {self._seconds + longer:g} s") from None
        except (aiohttp.ClientError, ValueError) as error:
            raise ApiUnreachable(self.url, reason_of(error)) from None


def _path(execution_id: str) -> str:
    return f"/executions/{quote(execution_id, safe='')}"
