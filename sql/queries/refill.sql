-- Refills: whole executions read from the log to be published again.

-- name: heads
-- Executions of refilling shards beyond their cursors with something recorded since then that is not purged,
-- lowest id first.
select e.execution_id, e.version, e.definition_hash, e.path
from playlog.execution e
join unnest($1::smallint[], $2::bigint[], $3::timestamptz[]) as r (shard, after_id, since)
    on r.shard = (e.execution_id & 15)
where e.execution_id > $4 and e.execution_id > r.after_id and e.recorded_at >= r.since
    and e.version > 0
    and not exists (
        select from playlog.retention r
        where r.kind = 'purged' and r.low_id <= e.execution_id and r.high_id > e.execution_id
    )
order by e.execution_id
limit $5

-- name: events
-- Whole executions up to a version each, in order.
select e.execution_id, e.version, e.event_id, e.event_type, e.step, e.attempt, e.item, e.status,
    e.payload, e.meta, e.command_id, e.causation_id, e.traceparent, e.created_at, e.recorded_at
from unnest($1::bigint[], $2::integer[]) as h (execution_id, version)
join playlog.event e on e.execution_id = h.execution_id and e.version <= h.version
order by e.execution_id, e.version
