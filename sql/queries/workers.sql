-- name: seen
-- A process or worker is alive.
insert into playlog.runtime (runtime_id, kind, pool, slots, version, host, tools)
values ($1, $2, $3, $4, $5, $6, $7)
on conflict (runtime_id) do update
set seen_at = clock_timestamp(), pool = excluded.pool, slots = excluded.slots, version = excluded.version,
    tools = excluded.tools

-- name: list
-- Processes and workers by name, after a cursor.
select runtime_id, kind, pool, slots, tools, version, host, started_at, seen_at
from playlog.runtime
where $1::text is null or runtime_id > $1
order by runtime_id
limit $2
