"""`playlog purge`: over the internal API, and straight in the database while everything else is down."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

from tests.support.command_line import playlog
from tests.support.internal_api import TOKEN, serving
from tests.support.retention import this_month


async def test_a_purge_needs_nothing_but_the_database(database_url: str, tmp_path: Path) -> None:
    direct = partial(playlog, folder=tmp_path, PLAYLOG_DATABASE_URL=database_url)
    done = await direct("purge", "--direct", "--dry-run", "--event-days", "30", "-o", "json")
    document = json.loads(done.output)
    assert (document["dry_run"], document["events_purged"], document["held"]) == (True, 0, [])


async def test_operators_purge_hold_and_list_over_the_internal_api(database_url: str, tmp_path: Path) -> None:
    token = partial(playlog, folder=tmp_path, PLAYLOG_INTERNAL_API_TOKEN=TOKEN)
    async with serving(database_url) as client:
        ask = partial(token, PLAYLOG_INTERNAL_API_URL=client.url)
        assert (await ask("hold", "audit", "--reason", "why")).output == "audit holds\n"
        listed = await ask("partitions")
        assert this_month().leaf in listed.output
        assert "hold 'audit'" in listed.output
        assert "a dry run" in (await ask("purge", "--dry-run")).output
        assert (await ask("hold", "audit", "--lift")).status == 0
        assert (await client.get("/retention/holds")).body["holds"] == []
