-- name: claim_keys
-- First use of each idempotency key, in key order; a key in use by an open transaction is waited for.
insert into playlog.idempotency (scope, idempotency_key, request_hash, execution_id)
select k.scope, k.idempotency_key, k.request_hash, k.execution_id
from unnest($1::text[], $2::text[], $3::bytea[], $4::bigint[])
    as k (scope, idempotency_key, request_hash, execution_id)
order by k.scope, k.idempotency_key
on conflict (scope, idempotency_key) do nothing
returning scope, idempotency_key

-- name: known_keys
-- What earlier requests with these keys asked for and which execution they got.
select i.scope, i.idempotency_key, i.request_hash, i.execution_id, e.version, e.status
from playlog.idempotency i
join unnest($1::text[], $2::text[]) as k (scope, idempotency_key) using (scope, idempotency_key)
left join playlog.execution e on e.execution_id = i.execution_id

-- name: lock_heads
-- The heads of these executions, locked in order of execution_id, each with the clock after its lock.
select h.execution_id, h.version, h.last_event_id, h.recorded_at, h.definition_hash, h.status,
    clock_timestamp() as moment
from (
    select execution_id, version, last_event_id, recorded_at, definition_hash, status
    from playlog.execution
    where execution_id = any($1::bigint[])
    order by execution_id
    for update
) as h

-- name: command_facts
-- The database's clock after the locks, with one row for each of these commands.
select clock_timestamp() as moment, c.command_id, c.execution_id, c.step, c.attempt, c.item,
    c.lease_token, c.leased_until, c.deadline, c.worker_id
from (values (1)) as one (row)
left join playlog.command c on c.command_id = any($1::bigint[])

-- name: probe
-- For each of these event ids, in order, the content hash under which it is recorded, or null: one look-up each.
select array(
    select (
        select e.content_hash from playlog.event e
        where e.execution_id = p.execution_id and e.event_id = p.event_id
    )
    from unnest($1::bigint[], $2::bigint[]) with ordinality as p (execution_id, event_id, place)
    order by p.place
)

-- name: baselines
-- Snapshots of this build's fold, from which a state is caught up.
select execution_id, version, state
from playlog.snapshot
where execution_id = any($1::bigint[]) and fold_version = $2

-- name: tails
-- The events after these versions, in order.
select e.execution_id, e.version, e.event_id, e.event_type, e.step, e.attempt, e.item, e.status,
    e.payload, e.meta, e.command_id, e.causation_id, e.traceparent, e.created_at, e.recorded_at
from unnest($1::bigint[], $2::integer[]) as t (execution_id, version)
join playlog.event e on e.execution_id = t.execution_id and e.version > t.version
order by e.execution_id, e.version

-- name: carried
-- The payloads at these versions: outputs, inputs and errors that an expression reads.
select e.execution_id, e.version, e.event_type, e.payload
from unnest($1::bigint[], $2::integer[]) as p (execution_id, version)
join playlog.event e on e.execution_id = p.execution_id and e.version = p.version

-- name: definitions
-- Canonical definitions by hash.
select definition_hash, canonical from playlog.definition where definition_hash = any($1::bytea[])

-- name: insert_heads
-- Heads of executions that this append starts.
insert into playlog.execution (execution_id, version, last_event_id, recorded_at, status, definition_hash,
    path, playbook_version, parent_id, pool, priority, deadline, ended_at)
select * from unnest($1::bigint[], $2::integer[], $3::bigint[], $4::timestamptz[], $5::text[], $6::bytea[],
    $7::text[], $8::integer[], $9::bigint[], $10::text[], $11::smallint[], $12::timestamptz[],
    $13::timestamptz[])

-- name: record
-- Events, their locked heads, closed and issued commands, and messages, in one round trip; any part may be empty.
-- Commands are closed, and given permits, in the order in which heartbeats lock them.
with recorded as (
    insert into playlog.event (execution_id, version, event_id, event_type, step, attempt, item, status,
        payload, meta, content_hash, command_id, causation_id, traceparent, created_at, recorded_at)
    select * from unnest($1::bigint[], $2::integer[], $3::bigint[], $4::text[], $5::text[], $6::integer[],
        $7::integer[], $8::text[], $9::json[], $10::json[], $11::bytea[], $12::bigint[], $13::bigint[],
        $14::text[], $15::timestamptz[], $16::timestamptz[])
), grown as (
    update playlog.execution e
    set version = n.version, last_event_id = n.last_event_id, recorded_at = n.recorded_at,
        status = n.status, ended_at = n.ended_at
    from unnest($17::bigint[], $18::integer[], $19::bigint[], $20::timestamptz[], $21::text[],
        $22::timestamptz[]) as n (execution_id, version, last_event_id, recorded_at, status, ended_at)
    where e.execution_id = n.execution_id
), held as materialized (
    select command_id from playlog.command
    where command_id = any($23::bigint[] || $52::bigint[]) and state <> 'closed'
    order by command_id
    for update
), closed as (
    update playlog.command c set state = 'closed', closed_at = clock_timestamp()
    from held
    where c.command_id = held.command_id and c.command_id = any($23::bigint[])
), granted as (
    update playlog.command c
    set state = case when c.paused then 'held' else 'pending' end, permitted = true,
        available_at = clock_timestamp()
    from held
    where c.command_id = held.command_id and c.command_id = any($52::bigint[])
), issued as (
    insert into playlog.command (command_id, execution_id, step, item, attempt, tool, pool, priority, input,
        timeout_seconds, available_at, traceparent, handles, paused, state, deferred, concurrency_key,
        concurrency_limit, permitted, idempotency_key)
    select * from unnest($24::bigint[], $25::bigint[], $26::text[], $27::integer[], $28::integer[],
        $29::text[], $30::text[], $31::smallint[], $32::json[], $33::double precision[], $34::timestamptz[],
        $35::text[], $36::json[], $37::boolean[], $38::text[], $39::json[], $40::text[], $41::integer[],
        $42::boolean[], $43::text[])
)
insert into playlog.outbox (shard, execution_id, first_version, last_version, event_id, subject, payload,
    traceparent)
select shard, execution_id, first_version, last_version, event_id, subject, payload, traceparent
from unnest($44::smallint[], $45::bigint[], $46::integer[], $47::integer[], $48::bigint[], $49::text[],
    $50::text[], $51::text[]) with ordinality
    as o (shard, execution_id, first_version, last_version, event_id, subject, payload, traceparent, place)
order by place

-- name: hold_commands
-- Close commands, give permits to some, and hold or release all others of these executions, locked in the order
-- of heartbeats. A claimed command stays with its worker; one that needs a permit and has none stays in line.
with locked as materialized (
    select c.command_id, h.paused, c.command_id = any($1::bigint[]) as ends,
        c.command_id = any($4::bigint[]) as is_granted
    from playlog.command c
    left join unnest($2::bigint[], $3::boolean[]) as h (execution_id, paused)
        on h.execution_id = c.execution_id
    where c.state <> 'closed'
        and (c.command_id = any($1::bigint[] || $4::bigint[]) or c.execution_id = any($2::bigint[]))
    order by c.command_id
    for update of c
), closed as (
    update playlog.command c set state = 'closed', closed_at = clock_timestamp()
    from locked
    where c.command_id = locked.command_id and locked.ends
)
update playlog.command c
set paused = coalesce(locked.paused, c.paused),
    permitted = c.permitted or locked.is_granted,
    available_at = case when locked.is_granted then clock_timestamp() else c.available_at end,
    state = case
        when c.state = 'claimed' then 'claimed'
        when coalesce(locked.paused, c.paused) then 'held'
        when c.concurrency_key is null or c.permitted or locked.is_granted then 'pending'
        else 'held'
    end
from locked
where c.command_id = locked.command_id and not locked.ends
returning c.pool, c.state = 'pending' and not locked.is_granted as is_released

-- name: move_deadlines
-- The deadlines of executions that are retried; their heads are locked.
update playlog.execution e
set deadline = n.deadline
from unnest($1::bigint[], $2::timestamptz[]) as n (execution_id, deadline)
where e.execution_id = n.execution_id

-- name: set_timers
-- Timers of waits and deadlines; setting one again moves it.
insert into playlog.timer (execution_id, timer_key, due_at)
select * from unnest($1::bigint[], $2::text[], $3::timestamptz[])
on conflict (execution_id, timer_key) do update set due_at = excluded.due_at

-- name: drop_timers
-- Timers that have fired or are no longer wanted.
delete from playlog.timer t
using unnest($1::bigint[], $2::text[]) as d (execution_id, timer_key)
where t.execution_id = d.execution_id and t.timer_key = d.timer_key

-- name: insert_deliveries
-- Messages for other executions; the same source twice is one message.
insert into playlog.delivery (target_execution_id, kind, event_id, payload)
select * from unnest($1::bigint[], $2::text[], $3::bigint[], $4::json[])
on conflict (target_execution_id, event_id) do nothing
returning delivery_id, target_execution_id, kind, event_id, payload

-- name: lock_deliveries
-- Which of these deliveries nobody has carried out yet; whoever else tries waits for this append's end.
select delivery_id from playlog.delivery
where delivery_id = any($1::bigint[])
order by delivery_id
for update

-- name: drop_deliveries
-- Deliveries that this append carried out.
delete from playlog.delivery where delivery_id = any($1::bigint[])

-- name: new_ids
-- A block of fresh ids.
select playlog.new_ids($1)

-- name: insert_foreign_heads
-- Heads of other systems' executions, in order, unless they exist or retention has removed them.
insert into playlog.execution (execution_id, version, recorded_at, status)
select id, 0, clock_timestamp(), 'pending'
from unnest($1::bigint[]) as f (id)
where not exists (
    select from playlog.retention r where r.kind = 'purged' and r.low_id <= f.id and r.high_id > f.id
)
order by id
on conflict (execution_id) do nothing

-- name: native_heads
-- Which of these executions are ours.
select execution_id from playlog.execution
where execution_id = any($1::bigint[]) and definition_hash is not null

-- name: release_keys
-- Keys that a request claimed in this transaction and does not need after all.
delete from playlog.idempotency i
using unnest($1::text[], $2::text[]) as k (scope, idempotency_key)
where i.scope = k.scope and i.idempotency_key = k.idempotency_key
