-- name: newest
-- The upper bound of the newest partition of a table, as an id.
select max((regexp_match(pg_get_expr(c.relpartbound, c.oid), 'TO \(''?(\d+)''?\)'))[1]::bigint) as high
from pg_inherits i
join pg_class c on c.oid = i.inhrelid
where i.inhparent = to_regclass('playlog.' || $1)

-- name: months
-- The current month and so many after it: the name and the bounds of its partition.
select to_char(month at time zone 'UTC', 'YYYYMM') as suffix,
    playlog.first_id_at(month) as low,
    playlog.first_id_at(month + interval '1 month') as high
from generate_series(0, $1::integer) as ahead,
    lateral (select date_trunc('month', clock_timestamp(), 'UTC') + make_interval(months => ahead) as month) as m
order by ahead

-- name: add
-- One more partition [low, high).
select playlog.add_partition($1, $2, $3, $4)

-- name: lock
-- One process at a time makes partitions.
select pg_try_advisory_xact_lock(hashtextextended('playlog.partitions', 0))
