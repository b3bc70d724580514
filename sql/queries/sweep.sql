-- name: begin_pass
-- The place of a background pass.
select cursor_id, finished_at, clock_timestamp() as moment
from playlog.background_pass
where name = $1

-- name: save_pass
-- Where a pass goes on, unless another process has moved it on from where it was.
update playlog.background_pass
set cursor_id = $4, finished_at = $5
where name = $1 and cursor_id = $2 and finished_at = $3

-- name: live
-- A page of live heads after an id, each with whether its snapshot lacks something older than some seconds.
select e.execution_id,
    e.version > coalesce(s.version, 0)
        and e.recorded_at < clock_timestamp() - make_interval(secs => $3) as is_wanted
from playlog.execution e
left join playlog.snapshot s on s.execution_id = e.execution_id
where e.ended_at is null and e.execution_id > $1
order by e.execution_id
limit $2

-- name: stalled
-- A page of live heads after an id, each with whether it is one of ours that has been quiet for some seconds
-- though nobody has its next move: it is not paused, and nothing of it is open but its deadline.
select e.execution_id,
    case
        when e.definition_hash is null or e.status = 'paused' or s.version is distinct from e.version
            or e.recorded_at > statement_timestamp() - make_interval(secs => $3) then false
        when exists (select from playlog.command c where c.execution_id = e.execution_id and c.state <> 'closed')
            then false
        when exists (
            select from playlog.timer t where t.execution_id = e.execution_id and t.timer_key <> 'execution'
        ) then false
        when exists (select from playlog.delivery d where d.target_execution_id = e.execution_id) then false
        else not exists (
            select from json_object_keys(s.state -> 'children') as child (id)
            where exists (
                select from playlog.execution c where c.execution_id = child.id::bigint and c.ended_at is null
            ) or exists (select from playlog.delivery d where d.target_execution_id = child.id::bigint)
        )
    end as is_wanted
from playlog.execution e
left join playlog.snapshot s on s.execution_id = e.execution_id
where e.ended_at is null and e.execution_id > $1
order by e.execution_id
limit $2

-- name: ended
-- A page of ended heads that recorded their last event after a place in time, each with whether its snapshot
-- lacks something.
select e.execution_id, e.quiet_since, e.version > coalesce(s.version, 0) as is_wanted
from playlog.execution e
left join playlog.snapshot s on s.execution_id = e.execution_id
where e.quiet_since is not null and (e.quiet_since, e.execution_id) > ($1, $2)
order by e.quiet_since, e.execution_id
limit $3

-- name: old_fold
-- Whether there is a snapshot that an older fold made.
select exists (select from playlog.snapshot where fold_version < $1)

-- name: refold
-- A page of snapshots after an id, each with whether an older fold made it.
select execution_id, fold_version < $3 as is_wanted
from playlog.snapshot
where execution_id > $1
order by execution_id
limit $2
