-- name: counts
-- Executions by status: the open ones, and those started since a moment.
select status, count(*) as count
from playlog.snapshot
where status = any($2::text[]) or execution_id >= playlog.first_id_at($1)
group by status

-- name: lag
-- How many of the newest open heads are ahead of their snapshot, and for how many seconds the oldest of them.
select count(*) as looked_at, count(*) filter (where is_behind) as behind,
    coalesce(max(extract(epoch from clock_timestamp() - recorded_at)) filter (where is_behind), 0)::float8
        as seconds
from (
    select e.recorded_at, coalesce(s.version, 0) < e.version as is_behind
    from (
        select execution_id, version, recorded_at
        from playlog.execution
        where ended_at is null
        order by execution_id desc
        limit $1
    ) e
    left join playlog.snapshot s on s.execution_id = e.execution_id
) as heads
