-- name: runtime
-- Processes and workers that have not been seen for a while.
delete from playlog.runtime
where runtime_id in (
    select runtime_id from playlog.runtime
    where seen_at < clock_timestamp() - make_interval(mins => $1)
    limit $2
    for update skip locked
)

-- name: count_runtime
-- How many processes and workers a purge would remove.
select count(*) from playlog.runtime where seen_at < clock_timestamp() - make_interval(mins => $1)

-- name: idempotency
-- Answers of requests whose repetition nobody expects any more; callers' own keys live with their execution.
delete from playlog.idempotency
where (scope, idempotency_key) in (
    select scope, idempotency_key from playlog.idempotency
    where created_at < clock_timestamp() - make_interval(days => $1) and scope <> 'key'
    limit $2
    for update skip locked
)

-- name: count_idempotency
-- How many answers a purge would remove.
select count(*) from playlog.idempotency
where created_at < clock_timestamp() - make_interval(days => $1) and scope <> 'key'

-- name: dead
-- Messages that were given up long ago: nobody wants them published any more.
delete from playlog.outbox_dead
where outbox_id in (
    select outbox_id from playlog.outbox_dead
    where died_at < clock_timestamp() - make_interval(days => $1)
    limit $2
    for update skip locked
)

-- name: count_dead
-- How many dead messages a purge would remove.
select count(*) from playlog.outbox_dead where died_at < clock_timestamp() - make_interval(days => $1)
