-- name: newest
-- The upper bound of the newest partition of a table, as an id.
select max((regexp_match(pg_get_expr(c.relpartbound, c.oid), 'TO \(''?(\d+)''?\)'))[1]::bigint) as high
from pg_inherits i
join pg_class c on c.oid = i.inhrelid
where i.inhparent = to_regclass('playlog.' || $1)

-- name: id_at
-- The lowest id of the month that starts so many months after the current one.
select playlog.first_id_at(date_trunc('month', clock_timestamp(), 'UTC') + make_interval(months => $1)) as low,
    to_char(
        (date_trunc('month', clock_timestamp(), 'UTC') + make_interval(months => $1)) at time zone 'UTC',
        'YYYYMM') as suffix

-- name: add
-- One more partition [low, high).
select playlog.add_partition($1, $2, $3, $4)

-- name: lock
-- One process at a time makes partitions.
select pg_try_advisory_xact_lock(hashtextextended('playlog.partitions', 0))
