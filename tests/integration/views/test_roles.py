"""The role that reads the views is made once for the server, by whoever may, and granted in each database."""

from __future__ import annotations

import asyncpg
import pytest

from sql.runner import make_roles
from tests.support.servers import Connection, connected


async def test_made_again_by_the_owner_the_role_stays_and_a_new_database_is_granted(
    reader: Connection, superuser_url: str, database_url: str
) -> None:
    async with connected(superuser_url) as connection:
        await connection.execute("revoke select on playlog.v_step from playlog_reader")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await reader.fetch("select * from playlog.v_step")
    await make_roles(database_url)
    assert await reader.fetch("select * from playlog.v_step") == []
