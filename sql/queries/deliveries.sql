-- name: due
-- Deliveries that nobody has carried out within a second, oldest first.
select delivery_id, target_execution_id, kind, event_id, payload
from playlog.delivery
where available_at <= clock_timestamp() - interval '1 second'
order by available_at, delivery_id
limit $1

-- name: postpone
-- A delivery that could not be carried out is tried again later.
update playlog.delivery
set attempts = attempts + 1,
    available_at = clock_timestamp() + make_interval(secs => least(300, power(2, least(attempts, 8))))
where delivery_id = $1
returning attempts

-- name: drop
-- A delivery whose target will never exist.
delete from playlog.delivery where delivery_id = $1
