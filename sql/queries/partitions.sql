-- name: newest
-- The upper bound of the newest partition of a table, as an id.
select max((regexp_match(pg_get_expr(c.relpartbound, c.oid), 'TO \(''?(\d+)''?\)'))[1]::bigint) as high
from pg_inherits i
join pg_class c on c.oid = i.inhrelid
where i.inhparent = to_regclass('playlog.' || $1)

-- name: months
-- The month of a moment, by default now, and so many after it: the name and the bounds of its partition.
-- Months are counted without a time zone, as the sum of a timestamptz and a month depends on the session's.
select to_char(month, 'YYYYMM') as suffix,
    playlog.first_id_at(month at time zone 'UTC') as low,
    playlog.first_id_at((month + interval '1 month') at time zone 'UTC') as high
from generate_series(0, $1::integer) as ahead,
    lateral (
        select date_trunc('month', coalesce($2::timestamptz, clock_timestamp()) at time zone 'UTC')
            + make_interval(months => ahead) as month
    ) as m
order by ahead

-- name: add
-- One more partition [low, high).
select playlog.add_partition($1, $2, $3, $4)

-- name: lock
-- One process at a time makes partitions.
select pg_try_advisory_xact_lock(hashtextextended('playlog.partitions', 0))
