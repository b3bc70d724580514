-- name: events
-- Events of an execution in version order, between two versions (exclusive, inclusive), of some types or all.
select execution_id, version, event_id, event_type, step, attempt, item, status, payload, meta, command_id,
    causation_id, traceparent, created_at, recorded_at
from playlog.event
where execution_id = $1 and version > $2 and version <= $3 and ($4::text[] is null or event_type = any($4))
order by version
limit $5

-- name: of_step
-- What happened to one step, in version order.
select execution_id, version, event_id, event_type, step, attempt, item, status, payload, meta, command_id,
    causation_id, traceparent, created_at, recorded_at
from playlog.event
where execution_id = $1 and step = $2 and version > $3
order by version
limit $4

-- name: head
-- Where the log of an execution stands; a head of a purged range is about to go.
select version, status, definition_hash, recorded_at, ended_at
from playlog.execution e
where execution_id = $1
    and not exists (
        select from playlog.retention r
        where r.kind = 'purged' and r.low_id <= e.execution_id and r.high_id > e.execution_id
    )

-- name: version_at
-- The last version that was recorded up to a moment, 0 before the first.
select coalesce(max(version), 0) from playlog.event where execution_id = $1 and recorded_at <= $2
