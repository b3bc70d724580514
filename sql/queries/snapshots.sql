-- name: standings
-- Heads that are not purged with the state of their snapshot where this build's fold made it.
select e.execution_id, e.version as head_version, e.definition_hash, s.version, s.fold_version,
    case when s.fold_version = $2 then s.state end as state
from playlog.execution e
left join playlog.snapshot s on s.execution_id = e.execution_id
where e.execution_id = any($1::bigint[])
    and not exists (
        select from playlog.retention r
        where r.kind = 'purged' and r.low_id <= e.execution_id and r.high_id > e.execution_id
    )

-- name: tails
-- The events after these versions, in order, a bounded number of each execution.
select e.execution_id, e.version, e.event_id, e.event_type, e.step, e.attempt, e.item, e.status,
    e.payload, e.meta, e.command_id, e.causation_id, e.traceparent, e.created_at, e.recorded_at
from unnest($1::bigint[], $2::integer[]) as t (execution_id, version)
cross join lateral (
    select * from playlog.event v
    where v.execution_id = t.execution_id and v.version > t.version
    order by v.version
    limit $3
) e
order by e.execution_id, e.version

-- name: upsert
-- Snapshots of existing streams, never backwards and never beyond the log; a rebuild may write a version anew.
insert into playlog.snapshot as s (execution_id, version, fold_version, hash, status, path, playbook_version,
    definition_hash, parent_id, labels, started_at, ended_at, recorded_at, output_version, error_version, state)
select n.*
from unnest($2::bigint[], $3::integer[], $4::smallint[], $5::bytea[], $6::text[], $7::text[], $8::integer[],
    $9::bytea[], $10::bigint[], $11::jsonb[], $12::timestamptz[], $13::timestamptz[], $14::timestamptz[],
    $15::integer[], $16::integer[], $17::json[])
    as n (execution_id, version, fold_version, hash, status, path, playbook_version, definition_hash,
    parent_id, labels, started_at, ended_at, recorded_at, output_version, error_version, state)
join playlog.execution e on e.execution_id = n.execution_id and e.version >= n.version
order by n.execution_id
on conflict (execution_id) do update
set version = excluded.version, fold_version = excluded.fold_version, hash = excluded.hash,
    status = excluded.status, path = excluded.path, playbook_version = excluded.playbook_version,
    definition_hash = excluded.definition_hash, parent_id = excluded.parent_id, labels = excluded.labels,
    started_at = excluded.started_at, ended_at = excluded.ended_at, recorded_at = excluded.recorded_at,
    output_version = excluded.output_version, error_version = excluded.error_version,
    state = excluded.state, projected_at = clock_timestamp()
where (excluded.version > s.version and excluded.fold_version >= s.fold_version)
    or (excluded.version = s.version and excluded.fold_version > s.fold_version)
    or ($1::boolean and excluded.version = s.version and excluded.fold_version = s.fold_version)
returning execution_id

-- name: newer_folds
-- Which of these snapshots a newer build has folded.
select execution_id from playlog.snapshot where execution_id = any($1::bigint[]) and fold_version > $2

-- name: drop_impossible
-- Remove snapshots that claim more than the log holds: no projection can have written them.
delete from playlog.snapshot s
using playlog.execution e
where s.execution_id = any($1::bigint[]) and e.execution_id = s.execution_id and s.version > e.version

-- name: stored
-- Snapshots as they are stored, column by column.
select execution_id, version, fold_version, hash, status, path, playbook_version, definition_hash, parent_id,
    labels, started_at, ended_at, recorded_at, output_version, error_version, state
from playlog.snapshot
where execution_id = any($1::bigint[])

-- name: checkable
-- Events up to a version with the hash of their content, a bounded number.
select execution_id, version, event_id, event_type, step, attempt, item, status, payload, meta, command_id,
    causation_id, traceparent, created_at, recorded_at, content_hash
from playlog.event
where execution_id = $1 and version > $2 and version <= $3
order by version
limit $4

-- name: sample
-- Up to so many snapshots that are not purged, spread over all of time, by one index probe each.
select distinct (
    select s.execution_id from playlog.snapshot s
    where s.execution_id >= p.place
        and not exists (
            select from playlog.retention r
            where r.kind = 'purged' and r.low_id <= s.execution_id and r.high_id > s.execution_id
        )
    order by s.execution_id
    limit 1
) as execution_id
from (
    select high - floor(random() * (high - low + (high - low) / $1 + 1)::numeric)::bigint as place
    from (select min(execution_id) as low, max(execution_id) as high from playlog.snapshot) as ends,
        generate_series(1, $1::integer)
) p
where p.place is not null
