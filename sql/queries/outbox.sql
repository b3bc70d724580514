-- name: lock_shards
-- Shards nobody else is passing over, least recently served first.
select shard, last_pass_at, stream_created, last_seq, safe_at, generation, refill_after
from playlog.shard
order by last_pass_at
limit $1
for update skip locked

-- name: touch_shards
-- Note that these shards were served, so that the others come next.
update playlog.shard set last_pass_at = clock_timestamp() where shard = any($1::smallint[])

-- name: due
-- Due messages of locked shards in order; a leased or backing-off message blocks the later ones of its execution.
select o.outbox_id, o.shard, o.execution_id, o.first_version, o.last_version, o.event_id, o.subject,
    o.payload, o.traceparent, o.attempts, o.created_at
from playlog.outbox o
where o.shard = any($1::smallint[])
    and o.available_at <= clock_timestamp()
    and (o.leased_until is null or o.leased_until <= clock_timestamp())
    and not exists (
        select from playlog.outbox earlier
        where earlier.execution_id = o.execution_id and earlier.outbox_id < o.outbox_id
            and (earlier.available_at > clock_timestamp() or earlier.leased_until > clock_timestamp())
    )
order by o.outbox_id
limit $2

-- name: lease
-- Lease the first due messages of locked shards to an HTTP claimer, at most a few an execution.
with candidates as materialized (
    select o.outbox_id, o.execution_id
    from playlog.outbox o
    where o.shard = any($1::smallint[])
        and o.available_at <= clock_timestamp()
        and (o.leased_until is null or o.leased_until <= clock_timestamp())
        and not exists (
            select from playlog.outbox earlier
            where earlier.execution_id = o.execution_id and earlier.outbox_id < o.outbox_id
                and (earlier.available_at > clock_timestamp() or earlier.leased_until > clock_timestamp())
        )
    order by o.outbox_id
    limit $2 * 8
), ranked as materialized (
    select outbox_id, row_number() over (partition by execution_id order by outbox_id) as place
    from candidates
), chosen as materialized (
    select outbox_id from ranked where place <= $4 order by outbox_id limit $2
)
update playlog.outbox o
set attempts = attempts + 1, lease_token = (playlog.new_ids(1))[1],
    leased_until = clock_timestamp() + make_interval(secs => $3)
from chosen
where o.outbox_id = chosen.outbox_id
returning o.outbox_id, o.event_id, o.execution_id, o.first_version, o.last_version, o.subject, o.payload,
    o.traceparent, o.attempts, o.lease_token, o.leased_until, o.shard

-- name: delete_published
-- Messages that are in the stream.
delete from playlog.outbox where outbox_id = any($1::bigint[]) returning outbox_id

-- name: settle_published
-- Delete published messages; where a lease token is given it must still be the current one.
delete from playlog.outbox o
using unnest($1::bigint[], $2::bigint[]) as p (outbox_id, lease_token)
where o.outbox_id = p.outbox_id and (p.lease_token is null or o.lease_token = p.lease_token)
returning o.outbox_id

-- name: remaining
-- Which of these messages still wait.
select outbox_id from playlog.outbox where outbox_id = any($1::bigint[])

-- name: park
-- Set a failed message aside with its backoff; where a lease token is given it must still be the current one.
update playlog.outbox
set attempts = greatest(attempts, $3), available_at = clock_timestamp() + make_interval(secs => $4),
    last_error = left($5, 2000), first_failed_at = coalesce(first_failed_at, clock_timestamp()),
    lease_token = null, leased_until = null
where outbox_id = $1 and ($2::bigint is null or lease_token = $2)
returning outbox_id

-- name: ever_given
-- Whether the sequence has given this id out already.
select case when is_called then last_value >= $1 else last_value > $1 end
from playlog.outbox_outbox_id_seq

-- name: bury
-- Give up messages which failed often while others went through; they stay visible and redrivable.
with hopeless as (
    delete from playlog.outbox o
    where o.outbox_id = any($1::bigint[]) and o.attempts >= $2
        and exists (
            select from playlog.shard s where s.shard = o.shard and s.safe_at > o.first_failed_at
        )
    returning o.*
)
insert into playlog.outbox_dead (outbox_id, shard, execution_id, first_version, last_version, event_id,
    subject, payload, traceparent, attempts, last_error, created_at)
select outbox_id, shard, execution_id, first_version, last_version, event_id, subject, payload, traceparent,
    attempts, last_error, created_at
from hopeless
returning outbox_id

-- name: acknowledge
-- What the stream confirmed for these shards: its last sequence and until when nothing is missing.
update playlog.shard
set last_seq = greatest(last_seq, $2), stream_created = $3, safe_at = clock_timestamp(),
    last_pass_at = clock_timestamp()
where shard = any($1::smallint[])

-- name: pending_count
-- Claimable now, counted exactly up to a limit.
select count(*) from (
    select from playlog.outbox
    where available_at <= clock_timestamp() and (leased_until is null or leased_until <= clock_timestamp())
    limit $1
) as counted

-- name: estimate
-- Rows of the outbox by the planner's statistics, for counts beyond the exact limit.
select greatest(c.reltuples, s.n_live_tup, 0)::bigint as live
from pg_class c join pg_stat_user_tables s on s.relid = c.oid
where c.oid = 'playlog.outbox'::regclass

-- name: standing
-- Leased and parked messages, the dead ones, and the age of the oldest message.
select
    (select count(*) from (
        select from playlog.outbox where leased_until > clock_timestamp() limit $1) as l) as in_flight,
    (select count(*) from (
        select from playlog.outbox where available_at > clock_timestamp() limit $1) as p) as parked,
    (select count(*) from (select from playlog.outbox_dead limit $1) as d) as dead,
    (select extract(epoch from clock_timestamp() - created_at)::double precision
        from playlog.outbox order by outbox_id limit 1) as oldest_age_seconds

-- name: shards
-- Every shard as it stands.
select shard, last_pass_at, stream_created, last_seq, safe_at, generation, refill_after
from playlog.shard order by shard

-- name: dead
-- Dead messages, newest first, below a cursor.
select outbox_id, shard, execution_id, first_version, last_version, event_id, subject, attempts, last_error,
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
order by outbox_id
returning outbox_id
