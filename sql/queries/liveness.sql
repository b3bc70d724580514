-- name: unserved
-- Pools and tools whose commands have been due for some seconds while no live worker takes them, by the first
-- hundred commands of each lane (pool and priority): what nobody takes gathers there.
with recursive lane as (
    (
        select pool, priority from playlog.command where state = 'pending'
        order by pool, priority desc
        limit 1
    )
    union all
    select n.pool, n.priority
    from lane l
    cross join lateral (
        select pool, priority from (
            (
                select 0 as rank, c.pool, c.priority from playlog.command c
                where c.state = 'pending' and c.pool = l.pool and c.priority < l.priority
                order by c.priority desc
                limit 1
            )
            union all
            (
                select 1, c.pool, c.priority from playlog.command c
                where c.state = 'pending' and c.pool > l.pool
                order by c.pool, c.priority desc
                limit 1
            )
        ) as later
        order by rank
        limit 1
    ) as n
), overdue as (
    select l.pool, first.tool, min(first.available_at) as since
    from (select pool, priority from lane limit 1000) as l
    cross join lateral (
        select c.tool, c.available_at from playlog.command c
        where c.state = 'pending' and c.pool = l.pool and c.priority = l.priority
            and c.available_at < statement_timestamp() - make_interval(secs => $1)
        order by c.available_at, c.command_id
        limit 100
    ) as first
    group by l.pool, first.tool
)
select o.pool, o.tool, o.since, last.seen_at,
    coalesce(last.seen_at >= statement_timestamp() - make_interval(secs => $2), false) as has_workers
from overdue o
cross join lateral (
    select max(r.seen_at) as seen_at from playlog.runtime r where r.pool = o.pool and r.kind = 'worker'
) as last
where not exists (
    select from playlog.runtime r
    where r.pool = o.pool and r.kind = 'worker'
        and r.seen_at >= statement_timestamp() - make_interval(secs => $2)
        and (r.tools is null or o.tool = any(r.tools))
)
order by o.pool, o.tool

-- name: failing_deliveries
-- Deliveries that have failed five times or more.
select delivery_id, target_execution_id, kind, attempts, created_at
from playlog.delivery
where attempts >= 5
order by delivery_id
limit $1

-- name: native_head
-- Definition and version of an execution of ours.
select definition_hash, version from playlog.execution
where execution_id = $1 and definition_hash is not null

-- name: resolve_others
-- Close the open incidents of a kind whose subject is none of these.
update playlog.incident set resolved_at = clock_timestamp()
where kind = $1 and resolved_at is null and subject <> all($2::text[])

-- name: resolve_delivered
-- Close the open incidents of deliveries that are gone.
update playlog.incident i set resolved_at = clock_timestamp()
where i.kind = $1 and i.resolved_at is null
    and not exists (select from playlog.delivery d where d.delivery_id = i.subject::bigint)

-- name: resolve_moved
-- Close the open incidents of executions that have recorded something since, have ended or are gone.
update playlog.incident i set resolved_at = clock_timestamp()
where i.kind = any($1::text[]) and i.resolved_at is null
    and not exists (
        select from playlog.execution e
        where e.execution_id = i.execution_id and e.ended_at is null and e.recorded_at <= i.seen_at
    )

-- name: open_counts
-- How many incidents of each kind are open.
select kind, count(*) from playlog.incident where resolved_at is null group by kind
