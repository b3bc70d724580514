-- name: claim
-- Give due commands of a pool to a worker; the commit need not wait for the disk, a lost claim is claimed anew.
with quick as materialized (
    select set_config('synchronous_commit', 'off', true) as setting
), due as materialized (
    select command_id
    from playlog.command, quick
    where pool = $1 and state = 'pending' and available_at <= clock_timestamp()
        and ($5::text[] is null or tool = any($5))
    order by priority desc, available_at, command_id
    limit $3
    for update of command skip locked
)
update playlog.command c
set state = 'claimed', worker_id = $2, lease_token = (playlog.new_ids(1))[1], claimed_at = clock_timestamp(),
    announced_at = null,
    deadline = clock_timestamp() + make_interval(secs => c.timeout_seconds),
    leased_until = clock_timestamp() + make_interval(secs => least($4::double precision, c.timeout_seconds))
from due
where c.command_id = due.command_id
returning c.command_id, c.execution_id, c.step, c.item, c.attempt, c.tool, c.input, c.handles, c.deferred,
    c.lease_token, c.leased_until, c.deadline, c.timeout_seconds, c.traceparent, c.priority, c.available_at,
    c.idempotency_key

-- name: extend
-- Extend leases that are still held, never beyond the attempt's deadline; a long attempt whose claim is not
-- announced yet has its first beat.
with quick as materialized (
    select set_config('synchronous_commit', 'off', true) as setting
), held as materialized (
    select c.command_id,
        c.announced_at is null and c.claimed_at < clock_timestamp() - make_interval(secs => $4) as first_beat
    from quick, unnest($1::bigint[], $2::bigint[]) as h (command_id, lease_token)
    join playlog.command c on c.command_id = h.command_id and c.lease_token = h.lease_token
    where c.state = 'claimed'
    order by c.command_id
    for update of c
)
update playlog.command c
set leased_until = least(clock_timestamp() + make_interval(secs => $3), c.deadline)
from held
where c.command_id = held.command_id
returning c.command_id, c.execution_id, c.step, c.item, c.attempt, c.lease_token, c.worker_id, c.claimed_at,
    c.deadline, held.first_beat

-- name: announced
-- The claims of these attempts are in the log: later beats need not record them.
with quick as materialized (
    select set_config('synchronous_commit', 'off', true) as setting
), held as materialized (
    select c.command_id
    from quick, unnest($1::bigint[], $2::bigint[]) as h (command_id, lease_token)
    join playlog.command c on c.command_id = h.command_id and c.lease_token = h.lease_token
    where c.state = 'claimed'
    order by c.command_id
    for update of c
)
update playlog.command c
set announced_at = clock_timestamp()
from held
where c.command_id = held.command_id

-- name: states
-- How these commands stand, for leases that could not be extended.
select command_id, state, lease_token from playlog.command where command_id = any($1::bigint[])

-- name: release
-- Hand commands back unfinished: claimable again at once unless paused, the old lease is void.
with held as materialized (
    select c.command_id
    from unnest($1::bigint[], $2::bigint[]) as h (command_id, lease_token)
    join playlog.command c on c.command_id = h.command_id and c.lease_token = h.lease_token
    where c.state = 'claimed'
    order by c.command_id
    for update of c
)
update playlog.command c
set state = case when c.paused then 'held' else 'pending' end, lease_token = null, leased_until = null, deadline = null, worker_id = null,
    claimed_at = null, announced_at = null
from held
where c.command_id = held.command_id
returning c.command_id, c.pool

-- name: seconds_to_next
-- When the next command of a pool, of these tools if any are named, is due: a retry waits out its backoff here.
select extract(epoch from min(available_at) - clock_timestamp())::double precision
from playlog.command
where pool = $1 and state = 'pending' and ($2::text[] is null or tool = any($2))

-- name: executions_of
-- Which execution each command belongs to.
select command_id, execution_id from playlog.command where command_id = any($1::bigint[])

-- name: expired
-- Commands whose lease has run out, longest ago first; read without a lock, judged again by the append.
select command_id, execution_id
from playlog.command
where state = 'claimed' and leased_until < clock_timestamp()
order by leased_until
limit $1

-- name: postpone
-- A lease that has run out and was not expired waits for some seconds, behind those that run out by then.
update playlog.command set leased_until = clock_timestamp() + make_interval(secs => $2)
where command_id = $1 and state = 'claimed' and leased_until < clock_timestamp()

-- name: pending_counts
-- Per pool: claimable now, in flight, and the age of the oldest claimable one.
select pool,
    count(*) filter (where state = 'pending' and available_at <= clock_timestamp()) as pending,
    count(*) filter (where state = 'claimed') as in_flight,
    extract(epoch from clock_timestamp() - min(available_at) filter (where state = 'pending'))::double precision
        as oldest_age_seconds
from playlog.command
where state in ('pending', 'claimed') and ($1::text is null or pool = $1)
group by pool
order by pool

-- name: purge
-- Closed commands beyond their retention, a batch at a time.
delete from playlog.command
where command_id in (
    select command_id from playlog.command
    where state = 'closed' and closed_at < clock_timestamp() - make_interval(days => $1)
    limit $2
    for update skip locked
)

-- name: count_purgeable
-- How many closed commands a purge would remove.
select count(*) from playlog.command
where state = 'closed' and closed_at < clock_timestamp() - make_interval(days => $1)
