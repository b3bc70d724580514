-- Partitions of the log, its payloads and step logs.

-- name: leaves
-- Every partition with its bounds, by table and place.
select parent, name, low_id, high_id, is_pending from playlog.partitions() order by parent, low_id

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

-- name: now
-- The clock that gives ids out.
select clock_timestamp()

-- name: add
-- One more partition [low, high).
select playlog.add_partition($1, $2, $3, $4)

-- name: limit_waiting
-- For this transaction: wait so long for a lock, and no longer, as whoever comes later waits behind it.
select set_config('lock_timeout', $1, true)

-- name: try_lock
-- One process at a time makes partitions.
select pg_try_advisory_xact_lock(hashtextextended('playlog.partitions', 0))

-- name: wait_lock
-- One process at a time makes partitions; the time, once it is this one.
select clock_timestamp() as moment
from (select pg_advisory_xact_lock(hashtextextended('playlog.partitions', 0))) as locked

-- name: list
-- A page of partitions by name: how large, the first live execution of the log's, and the holds on it.
select p.parent, p.name, p.low_id, p.high_id,
    coalesce(nullif(s.n_live_tup, 0), greatest(c.reltuples, 0)::bigint) as rows_estimate,
    pg_total_relation_size(c.oid) as bytes,
    (
        select min(e.execution_id) from playlog.execution e
        where p.parent = 'event' and e.ended_at is null
            and e.execution_id >= p.low_id and e.execution_id < p.high_id
    ) as live,
    array(
        select r.name from playlog.retention r
        where r.kind = 'hold' and r.low_id < p.high_id and r.high_id > p.low_id
        order by r.name
    ) as holds
from playlog.partitions() p
join pg_class c on c.relname = p.name and c.relnamespace = 'playlog'::regnamespace
left join pg_stat_user_tables s on s.relid = c.oid
where $1::text is null or p.name > $1 collate "C"
order by p.name collate "C"
limit $2
