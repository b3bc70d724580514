-- name: begin_pass
-- The place of a background pass, unless another process is at it.
select cursor_id, finished_at, clock_timestamp() as moment
from playlog.background_pass
where name = $1
for update skip locked

-- name: save_pass
-- Where the pass goes on; a finished_at that is not given stays.
update playlog.background_pass
set cursor_id = $2, finished_at = coalesce($3, finished_at)
where name = $1

-- name: live
-- A page of live heads after an id, each with whether its snapshot lacks something older than some seconds.
select e.execution_id,
    e.version > coalesce(s.version, 0)
        and e.recorded_at < clock_timestamp() - make_interval(secs => $3) as is_behind
from playlog.execution e
left join playlog.snapshot s on s.execution_id = e.execution_id
where e.ended_at is null and e.execution_id > $1
order by e.execution_id
limit $2

-- name: ended
-- A page of heads that ended after a place in time, each with whether its snapshot lacks something.
select e.execution_id, e.ended_at, e.version > coalesce(s.version, 0) as is_behind
from playlog.execution e
left join playlog.snapshot s on s.execution_id = e.execution_id
where e.ended_at is not null and (e.ended_at, e.execution_id) > ($1, $2)
order by e.ended_at, e.execution_id
limit $3

-- name: refold
-- A page of snapshots after an id, each with whether an older fold made it.
select execution_id, fold_version < $3 as is_behind
from playlog.snapshot
where execution_id > $1
order by execution_id
limit $2
