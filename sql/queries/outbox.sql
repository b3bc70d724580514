-- The outbox: messages waiting to be published.

-- name: due
-- Due messages of owned shards in order, by count and bytes.
with chosen as materialized (
    select outbox_id from playlog.due_messages($1, $3) order by outbox_id limit $2
), summed as materialized (
    select o.outbox_id, octet_length(o.payload) as bytes,
        sum(octet_length(o.payload)) over (order by o.outbox_id) as total
    from chosen c
    join playlog.outbox o on o.outbox_id = c.outbox_id
)
select o.outbox_id, o.shard, o.execution_id, o.first_version, o.last_version, o.subject, o.payload,
    o.traceparent, o.attempts, o.created_at
from summed s
join playlog.outbox o on o.outbox_id = s.outbox_id
where s.total <= $4 or s.total = s.bytes
order by o.outbox_id

-- name: delete_published
-- Messages that are in the stream.
delete from playlog.outbox where outbox_id = any($1::bigint[])

-- name: lease
-- Lease the oldest due messages of owned shards, at most a few an execution.
with ranked as (
    select outbox_id, row_number() over (partition by execution_id order by outbox_id) as place
    from playlog.due_messages($1, $2)
), chosen as materialized (
    select outbox_id from ranked where place <= $4 order by outbox_id limit $2
)
update playlog.outbox o
set attempts = attempts + 1, lease_token = (playlog.new_ids(1))[1],
    leased_until = (select clock_timestamp()) + make_interval(secs => $3)
from chosen
where o.outbox_id = chosen.outbox_id
returning o.outbox_id, o.event_id, o.execution_id, o.first_version, o.last_version, o.subject, o.payload,
    o.traceparent, o.attempts, o.lease_token, o.leased_until, o.shard, o.created_at

-- name: settle_published
-- Delete published messages, in order; where a lease token is given it must still be the current one.
with held as materialized (
    select o.outbox_id
    from unnest($1::bigint[], $2::bigint[]) as p (outbox_id, lease_token)
    join playlog.outbox o on o.outbox_id = p.outbox_id
    where p.lease_token is null or o.lease_token = p.lease_token
    order by o.outbox_id
    for update of o
)
delete from playlog.outbox o
using held
where o.outbox_id = held.outbox_id
returning o.outbox_id, o.shard

-- name: waiting
-- Which of these messages still wait.
select outbox_id from playlog.outbox where outbox_id = any($1::bigint[])

-- name: park
-- Set failed messages aside for some seconds; where a lease token is given it must still be the current one.
with held as materialized (
    select o.outbox_id, f.attempts, f.delay, f.error
    from unnest($1::bigint[], $2::integer[], $3::float8[], $4::text[], $5::bigint[])
        as f (outbox_id, attempts, delay, error, lease_token)
    join playlog.outbox o on o.outbox_id = f.outbox_id
    where f.lease_token is null or o.lease_token = f.lease_token
    order by o.outbox_id
    for update of o
)
update playlog.outbox o
set attempts = greatest(o.attempts, held.attempts, 1),
    available_at = clock_timestamp() + make_interval(secs => held.delay),
    last_error = held.error, first_failed_at = coalesce(o.first_failed_at, clock_timestamp()),
    lease_token = null, leased_until = null
from held
where o.outbox_id = held.outbox_id
returning o.outbox_id, o.attempts

-- name: bury
-- Give up messages while others went through after their first failure; they stay visible and redrivable.
with hopeless as (
    delete from playlog.outbox o
    where o.outbox_id = any($1::bigint[])
        and exists (select from playlog.shard s where s.published_at > o.first_failed_at)
    returning o.*
)
insert into playlog.outbox_dead (outbox_id, shard, execution_id, first_version, last_version, event_id,
    subject, payload, traceparent, attempts, last_error, created_at)
select outbox_id, shard, execution_id, first_version, last_version, event_id, subject, payload, traceparent,
    attempts, last_error, created_at
from hopeless
returning outbox_id

-- name: was_given
-- Whether the sequence has given this id out.
select $1::bigint >= 1 and case when is_called then last_value >= $1 else last_value > $1 end
from playlog.outbox_outbox_id_seq

-- name: pending_count
-- Due, leased, parked, dead, counted up to a limit; from a sample of pages where that finds far more; oldest age.
with chosen as materialized (
    select clock_timestamp() as moment, least(1, $2::float8 * current_setting('block_size')::integer
        / greatest(1, pg_relation_size('playlog.outbox'))) as share
), sampled as materialized (
    select count(*) filter (where available_at <= moment and leased_until is null or leased_until <= moment)
            / max(share) as pending,
        count(*) filter (where leased_until > moment) / max(share) as in_flight,
        count(*) filter (where available_at > moment) / max(share) as parked
    from chosen
    left join playlog.outbox tablesample system ((select 100 * share from chosen)) on true
)
select sampled.pending as pending_sampled, sampled.in_flight as in_flight_sampled,
    sampled.parked as parked_sampled,
    case when sampled.pending < 4 * $1::integer then (
        select count(*) from (
            select from playlog.shard s cross join lateral playlog.due_of_shard(s.shard, $1) limit $1) as due)
    end as pending,
    case when sampled.in_flight < 4 * $1 then (
        select count(*) from (
            select from playlog.outbox
            where lease_token is not null and leased_until > (select clock_timestamp())
            limit $1) as leased)
    end as in_flight,
    case when sampled.parked < 4 * $1 then (
        select count(*) from (
            select from playlog.outbox
            where first_failed_at is not null and lease_token is null
                and available_at > (select clock_timestamp())
            limit $1) as parked)
    end as parked,
    (select count(*) from (select from playlog.outbox_dead limit $1) as dead) as dead,
    (select extract(epoch from clock_timestamp() - created_at)::float8
        from playlog.outbox order by outbox_id limit 1) as oldest_age_seconds
from sampled

-- name: dead
-- Dead messages, newest first, below a cursor.
select outbox_id, execution_id, first_version, last_version, event_id, subject, attempts, last_error,
    created_at, died_at
from playlog.outbox_dead
where $1::bigint is null or outbox_id < $1
order by outbox_id desc
limit $2

-- name: redrive
-- Put dead messages back to be published; null means all.
with revived as (
    delete from playlog.outbox_dead where $1::bigint[] is null or outbox_id = any($1) returning *
)
insert into playlog.outbox (outbox_id, shard, execution_id, first_version, last_version, event_id, subject,
    payload, traceparent, created_at)
overriding system value
select outbox_id, shard, execution_id, first_version, last_version, event_id, subject, payload, traceparent,
    created_at
from revived
returning outbox_id

-- name: discard
-- Remove dead messages for good; null means all.
delete from playlog.outbox_dead where $1::bigint[] is null or outbox_id = any($1) returning outbox_id
