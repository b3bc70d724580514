-- name: recorded
-- How far the logs of executions are; an execution that has ended stays where it is.
select execution_id, version from playlog.execution where execution_id = any($1::bigint[])

-- name: projected
-- How far the snapshots of executions are.
select execution_id, version from playlog.snapshot where execution_id = any($1::bigint[])

-- name: logged
-- When the newest log line of each execution came, as the number of its transaction; and who has ended.
select e.execution_id, e.ended_at is not null as is_ended, l.arrived::text::bigint as arrived
from playlog.execution e
left join lateral (
    select s.arrived from playlog.step_log s where s.execution_id = e.execution_id
    order by s.arrived desc
    limit 1
) l on true
where e.execution_id = any($1::bigint[])
