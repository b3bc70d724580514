"""A crash between publish and COMMIT repeats messages with the same ids; the stream shows no gap."""

from __future__ import annotations

import pytest

from engine.runtime.database import Connection as Published
from engine.write import publishing
from tests.support import outbox
from tests.support.servers import Connection

SPANS = [(execution_id, version, version) for version in (1, 2, 3) for execution_id in range(900, 930)]


async def test_it_is_published_again_and_recognised(
    connection: Connection, database_url: str, nats_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await outbox.put(connection, *SPANS)
    delete = publishing.delete_published

    async def crash(connection: Published, outbox_ids: list[int]) -> None:
        connection.terminate()
        await delete(connection, outbox_ids)

    async with outbox.a_publisher(outbox.publisher_settings(database_url, nats_url)) as publisher:
        monkeypatch.setattr(publishing, "delete_published", crash)
        with pytest.raises(Exception, match="database is away"):
            await publisher.step()
        assert "database_away" in (await publisher.fault() or "")
        first = await outbox.stream_content(nats_url)
        assert first
        assert await outbox.waiting(connection) == len(SPANS)
        monkeypatch.undo()
        await outbox.drain(publisher)
        assert await publisher.fault() is None
    stored = await outbox.stream_content(nats_url)
    assert outbox.gaps(stored, dict.fromkeys(range(900, 930), 3)) == []
    ids = [message.message_id for message in stored]
    assert len(ids) == len(set(ids)) == len(SPANS)
    assert ids[: len(first)] == [message.message_id for message in first]
    assert await outbox.waiting(connection) == 0


async def test_a_crash_after_a_new_message_of_a_known_execution_keeps_the_order(
    connection: Connection, database_url: str, nats_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second time the batch holds known and new messages: it is refused whole and sent singly."""
    await outbox.put(connection, *SPANS)

    async def crash(connection: Published, outbox_ids: list[int]) -> None:
        raise ConnectionError

    async with outbox.a_publisher(outbox.publisher_settings(database_url, nats_url)) as publisher:
        with monkeypatch.context() as patched:
            patched.setattr(publishing, "delete_published", crash)
            with pytest.raises(Exception, match="database is away"):
                await publisher.step()
        await outbox.put(connection, *[(execution_id, 4, 4) for execution_id in range(900, 930)])
        await outbox.drain(publisher)
    stored = await outbox.stream_content(nats_url)
    assert outbox.gaps(stored, dict.fromkeys(range(900, 930), 4)) == []
    assert len(stored) == len(SPANS) + 30
