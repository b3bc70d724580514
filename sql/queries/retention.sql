-- Retention: which ranges of executions are purged or held, and the removal of a purged one.

-- name: lock
-- Until the transaction ends nobody else places a hold or gives up a partition.
select pg_advisory_xact_lock(hashtextextended('playlog.retention', 0))

-- name: horizon
-- The ranges that are purged, and the time from the clock that gives ids out.
select clock_timestamp() as moment, r.low_id, r.high_id
from (values (1)) as one (row)
left join playlog.retention r on r.kind = 'purged'

-- name: purged
-- The months that are purged.
select name from playlog.retention where kind = 'purged'

-- name: unfinished
-- Purged ranges of which something is left, oldest first. Callers' keys go before the heads.
select r.name, r.low_id, r.high_id
from playlog.retention r
where r.kind = 'purged' and (
    exists (select from playlog.execution e where e.execution_id >= r.low_id and e.execution_id < r.high_id)
    or exists (select from playlog.snapshot s where s.execution_id >= r.low_id and s.execution_id < r.high_id)
    or exists (select from playlog.payload p where p.execution_id >= r.low_id and p.execution_id < r.high_id)
    or exists (select from playlog.step_log l where l.execution_id >= r.low_id and l.execution_id < r.high_id)
    or exists (
        select from unnest(array['event_', 'payload_', 'step_log_']) as t (prefix)
        join pg_class c on c.relname = t.prefix || r.name and c.relnamespace = 'playlog'::regnamespace
        where r.name <> 'low'
    )
)
order by r.low_id

-- name: purged_among
-- Which of these executions are purged.
select w.id
from unnest($1::bigint[]) as w (id)
where exists (
    select from playlog.retention r where r.kind = 'purged' and r.low_id <= w.id and r.high_id > w.id
)

-- name: is_purged
-- Whether retention has removed the executions of that time.
select exists (select from playlog.retention where kind = 'purged' and low_id <= $1 and high_id > $1)

-- name: cutoff
-- So many days before a moment, by default now.
select coalesce($2::timestamptz, clock_timestamp()) - make_interval(days => $1)

-- name: extent
-- One above the highest execution of a range; null when there is none.
select max(execution_id) + 1 from playlog.execution where execution_id >= $1 and execution_id < $2

-- name: proof
-- What keeps the executions [low, high) in the log, a row a reason: how many, and the one to look at first.
-- An execution that records nothing after the cutoff closes no command later than a time-out of a day.
select 'live' as what, count(*) as number, min(execution_id) as execution_id
from playlog.execution
where ended_at is null and definition_hash is not null and execution_id >= $1 and execution_id < $2
union all
select 'recent', count(*), min(execution_id)
from playlog.execution
where execution_id >= $1 and execution_id < $2 and recorded_at >= $3
union all
select 'outbox', count(*), (array_agg(execution_id order by outbox_id))[1]
from playlog.outbox
where execution_id >= $1 and execution_id < $2
union all
select 'dead', count(*), (array_agg(execution_id order by outbox_id))[1]
from playlog.outbox_dead
where execution_id >= $1 and execution_id < $2
union all
select 'refill', count(*), null
from playlog.shard
where refill_after is not null and refill_from < $3
union all
select 'delivery', count(*), (array_agg(target_execution_id order by delivery_id))[1]
from playlog.delivery
where target_execution_id >= $1 and target_execution_id < $2
union all
select 'timer', count(*), min(execution_id)
from playlog.timer
where execution_id >= $1 and execution_id < $2
union all
select 'open_command', count(*), min(execution_id)
from playlog.command
where state <> 'closed' and execution_id >= $1 and execution_id < $2
union all
select 'closed_command', count(*), min(execution_id)
from playlog.command
where state = 'closed' and closed_at < $3::timestamptz + interval '1 day'
    and execution_id >= $1 and execution_id < $2

-- name: holds_on
-- The holds on executions [low, high).
select name, reason from playlog.retention
where kind = 'hold' and low_id < $2 and high_id > $1
order by name

-- name: stop_inserts
-- Nobody inserts into this partition until the transaction ends.
select playlog.lock_partition($1, false)

-- name: stop_readers
-- Nobody reads this partition until the transaction ends.
select playlog.lock_partition($1, true)

-- name: remember
-- A range is purged; the lowest partition can be so again and again.
insert into playlog.retention as r (kind, name, low_id, high_id)
values ('purged', $1, $2, $3)
on conflict (kind, name) do update
set low_id = least(r.low_id, excluded.low_id), high_id = greatest(r.high_id, excluded.high_id)

-- name: empty
-- Remove the events of a purged month; its partition takes no more of them.
select playlog.empty_partition($1)

-- name: detach
-- The statement that detaches a partition while inserts go on; null when it is none. No function can run it.
select format('alter table playlog.%I detach partition playlog.%I %s', parent, name,
    case when is_pending then 'finalize' else 'concurrently' end)
from playlog.partitions()
where name = $1 and low_id >= $2 and high_id <= $3

-- name: drop_detached
-- Drop what was a partition; false when there is none.
select playlog.drop_detached($1)

-- name: delete_heads
-- Heads of purged executions from an id on, a batch at a time; how many, and the last one.
with batch as materialized (
    select execution_id from playlog.execution
    where execution_id >= $1 and execution_id < $2
    order by execution_id
    limit $3
    for update
), gone as (
    delete from playlog.execution e using batch where e.execution_id = batch.execution_id
    returning e.execution_id
)
select count(*) as number, max(execution_id) as last from gone

-- name: delete_snapshots
-- Snapshots of purged executions from an id on, a batch at a time; how many, and the last one.
with batch as materialized (
    select execution_id from playlog.snapshot
    where execution_id >= $1 and execution_id < $2
    order by execution_id
    limit $3
), gone as (
    delete from playlog.snapshot s using batch where s.execution_id = batch.execution_id
    returning s.execution_id
)
select count(*) as number, max(execution_id) as last from gone

-- name: delete_payloads
-- Payloads of purged executions whose partition stays, from an id on, some at a time; how many, and the last.
with batch as materialized (
    select execution_id, sha256 from playlog.payload
    where execution_id >= $1 and execution_id < $2
    order by execution_id
    limit $3
), gone as (
    delete from playlog.payload p using batch
    where p.execution_id = batch.execution_id and p.sha256 = batch.sha256
    returning p.execution_id
)
select count(*) as number, max(execution_id) as last from gone

-- name: delete_logs
-- Step logs of purged executions whose partition stays, from an id on, some at a time; how many, and the last.
with batch as materialized (
    select execution_id, command_id, seq from playlog.step_log
    where execution_id >= $1 and execution_id < $2
    order by execution_id
    limit $3
), gone as (
    delete from playlog.step_log l using batch
    where l.execution_id = batch.execution_id and l.command_id = batch.command_id and l.seq = batch.seq
    returning l.execution_id
)
select count(*) as number, max(execution_id) as last from gone

-- name: delete_keys
-- Callers' keys of purged executions, a batch at a time. A key is as old as its execution, within a day.
delete from playlog.idempotency
where (scope, idempotency_key) in (
    select scope, idempotency_key from playlog.idempotency
    where scope = 'key' and execution_id >= $1 and execution_id < $2
        and created_at >= $3::timestamptz - interval '1 day' and created_at < $4::timestamptz + interval '1 day'
    limit $5
    for update skip locked
)

-- name: count_executions
-- How many heads and snapshots a range has.
select
    (select count(*) from playlog.execution where execution_id >= $1 and execution_id < $2) as heads,
    (select count(*) from playlog.snapshot where execution_id >= $1 and execution_id < $2) as snapshots

-- name: hold
-- Keep executions [low, high) from being purged; the same name again moves the hold.
insert into playlog.retention as r (kind, name, low_id, high_id, reason)
values ('hold', $1, $2, $3, $4)
on conflict (kind, name) do update
set low_id = excluded.low_id, high_id = excluded.high_id, reason = excluded.reason

-- name: purged_within
-- The purged ranges that overlap [low, high), by name.
select name from playlog.retention
where kind = 'purged' and low_id < $2 and high_id > $1
order by low_id

-- name: lift
-- End a hold.
delete from playlog.retention where kind = 'hold' and name = $1 returning name

-- name: holds
-- A page of holds by name.
select name, low_id, high_id, reason, created_at from playlog.retention
where kind = 'hold' and ($1::text is null or name > $1)
order by name
limit $2
