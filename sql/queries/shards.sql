-- Shards: who owns the outbox, what the stream confirmed, and refills.

-- name: begin_pass
-- Limits of a pass's transaction, and whether anything may wait; a lost commit only repeats its messages.
select set_config('synchronous_commit', 'off', true),
    set_config('idle_in_transaction_session_timeout', '15s', true),
    set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true),
    set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true),
    exists (select from playlog.shard where refill_after is not null)
        or exists (select from playlog.outbox where attempts = 0)
        or exists (
            select from (
                select from playlog.outbox
                where available_at <= clock_timestamp()
                    and (leased_until is null or leased_until <= clock_timestamp())
                order by outbox_id
                limit 1
            ) as first_due
        ) as waiting

-- name: prefer_indexes
-- For this transaction: the outbox changes faster than its statistics, so that the planner must not trust them.
select set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true),
    set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true)

-- name: lock
-- Shards with something to do that nobody else is passing over, least recently served first (offset 0: no hashing).
select s.shard, s.generation, s.stream_created, s.refill_after, s.refill_from,
    (select max(last_seq) from playlog.shard) as expected_seq
from playlog.shard s
where s.refill_after is not null
    or exists (select from playlog.outbox o where o.shard = s.shard and o.attempts = 0 offset 0)
    or exists (select from playlog.outbox o where o.shard = s.shard and o.lease_token is not null offset 0)
    or exists (
        select from playlog.outbox o
        where o.shard = s.shard and o.first_failed_at is not null and o.lease_token is null
        offset 0
    )
order by s.last_pass_at
limit $1
for update skip locked

-- name: lock_all
-- All shards, waiting for whoever is passing over them.
select from playlog.shard order by shard for update

-- name: standing
-- What all shards together know of the stream, and which PostgreSQL this is.
select max(s.last_seq) as last_seq, max(s.published_at) as published_at, max(s.stream_created) as stream_created, max(s.server) as server,
    max(s.generation) as generation, count(s.refill_after) as refilling,
    c.system_identifier::text || '/' || left(pg_walfile_name(pg_current_wal_lsn()), 8) as this_server
from playlog.shard s
cross join pg_control_system() c
group by c.system_identifier

-- name: adopt
-- The first stream and the first server that were published to and from.
update playlog.shard
set stream_created = coalesce(stream_created, $1), server = coalesce(server, $2)
where stream_created is null or server is null

-- name: start_refills
-- A new generation of message ids; every shard is refilled, from its checkpoint where the stream still has it.
update playlog.shard
set generation = generation + 1, stream_created = $1, last_seq = $2, server = $3, refill_after = 0,
    refill_from = least(
        refill_from,
        case
            when stream_created = $1 and safe_seq <= $2 then safe_at
        end,
        case
            when stream_created is distinct from $1 or safe_seq > $2 or safe_at is null
            then clock_timestamp() - make_interval(secs => $4)
        end
    ),
    safe_at = case when stream_created = $1 and safe_seq <= $2 then safe_at end,
    safe_seq = case when stream_created = $1 and safe_seq <= $2 then safe_seq else 0 end

-- name: served
-- Note that these shards were served and what the stream acknowledged last; 0 for nothing.
update playlog.shard
set last_pass_at = clock_timestamp(), last_seq = greatest(last_seq, $2),
    published_at = case when $2 > 0 then clock_timestamp() else published_at end
where shard = any($1::smallint[])

-- name: checkpoint
-- What was recorded this many seconds before the oldest waiting message is in the stream by now.
update playlog.shard s
set safe_seq = s.last_seq,
    safe_at = least(
        clock_timestamp(),
        (
            select o.created_at from playlog.outbox o
            where o.shard = s.shard and o.attempts = 0
            order by o.outbox_id
            limit 1
        ),
        (select min(o.created_at) from playlog.outbox o where o.shard = s.shard and o.lease_token is not null),
        (
            select min(o.created_at) from playlog.outbox o
            where o.shard = s.shard and o.first_failed_at is not null and o.lease_token is null
        )
    ) - make_interval(secs => $2)
where s.shard = any($1::smallint[]) and s.refill_after is null and s.last_seq > s.safe_seq

-- name: forget_checkpoints
-- An old message comes back, so that the checkpoints no longer tell the truth.
update playlog.shard set safe_at = null, safe_seq = 0 where shard = any($1::smallint[])

-- name: advance_refills
-- Where the refills of these shards stand; null for finished.
update playlog.shard s
set refill_after = p.refill_after,
    refill_from = case when p.refill_after is null then null else s.refill_from end
from unnest($1::smallint[], $2::bigint[]) as p (shard, refill_after)
where s.shard = p.shard

-- name: note_published
-- Somebody else than the publisher has published; where a shard is locked, the publisher says so itself.
update playlog.shard
set published_at = clock_timestamp()
where shard in (
    select shard from playlog.shard
    where shard = any($1::smallint[])
        and (published_at is null or published_at < clock_timestamp() - interval '1 second')
    for update skip locked
)
