-- name: due
-- Timers that are due, read without a lock; the append judges and deletes them under the head.
select execution_id, timer_key, due_at from playlog.timer
where due_at <= clock_timestamp()
order by due_at
limit $1

-- name: live_page
-- A page of live executions in id order, with those marked whose deadline has passed.
select execution_id, deadline, coalesce(deadline <= clock_timestamp(), false) as is_overdue
from playlog.execution
where ended_at is null and execution_id > $1
order by execution_id
limit $2

-- name: postpone
-- A timer that is due and did not fire waits for some seconds, behind those that are due by then.
update playlog.timer set due_at = clock_timestamp() + make_interval(secs => $3)
where execution_id = $1 and timer_key = $2 and due_at <= clock_timestamp()

-- name: forget
-- A timer of an execution that does not exist.
delete from playlog.timer where execution_id = $1 and timer_key = $2
