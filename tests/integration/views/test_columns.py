"""The columns of the views are an interface: each stays as it is, and more may only follow.

UPDATE_SCHEMA=1 writes the record anew.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.support.servers import Connection

RECORD = Path(__file__).with_name("views.golden")
COLUMNS = """
select format('%s.%s %s', c.relname, a.attname, format_type(a.atttypid, a.atttypmod)) as line
from pg_class c
join pg_attribute a on a.attrelid = c.oid and a.attnum > 0
where c.relnamespace = 'playlog'::regnamespace and c.relkind = 'v'
order by c.relname collate "C", a.attnum
"""


async def test_the_columns_are_those_on_record(connection: Connection) -> None:
    version = await connection.fetchval("select playlog.views_version()")
    lines = [f"version {version}", *(row["line"] for row in await connection.fetch(COLUMNS))]
    now = "".join(f"{line}\n" for line in lines)
    if "UPDATE_SCHEMA" in os.environ:
        RECORD.write_text(now)
    assert now == RECORD.read_text(), "add columns at the end and raise views_version; change none"


async def test_each_view_says_what_a_row_of_it_is(connection: Connection) -> None:
    undescribed = """
    select relname from pg_class
    where relnamespace = 'playlog'::regnamespace and relkind = 'v'
        and obj_description(oid, 'pg_class') is null
    """
    assert await connection.fetch(undescribed) == []
