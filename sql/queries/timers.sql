-- name: due
-- Timers that are due, read without a lock; the append judges and deletes them under the head.
select execution_id, timer_key, due_at from playlog.timer
where due_at <= clock_timestamp()
order by due_at
limit $1

-- name: overdue_executions
-- Live executions whose deadline has passed, in a page of the sweep.
select execution_id, deadline from playlog.execution
where execution_id = any($1::bigint[]) and ended_at is null and deadline <= clock_timestamp()

-- name: forget
-- A timer of an execution that does not exist.
delete from playlog.timer where execution_id = $1 and timer_key = $2
