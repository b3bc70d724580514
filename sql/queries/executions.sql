-- name: snapshot
-- One snapshot that is not purged with what its pointers mean, and the steps of its definition with their pools.
select s.version, s.fold_version, s.state,
    i.payload as inputs_payload, i.event_type as inputs_type,
    o.payload as output_payload, o.event_type as output_type,
    x.payload as error_payload, x.event_type as error_type,
    (
        select json_object_agg(part ->> 'name', part ->> 'pool')
        from playlog.definition d, json_array_elements(d.canonical -> 'steps') as part
        where d.definition_hash = s.definition_hash
    ) as pools
from playlog.snapshot s
left join playlog.event i
    on i.execution_id = s.execution_id and i.version = 1 and s.definition_hash is not null
left join playlog.event o on o.execution_id = s.execution_id and o.version = s.output_version
left join playlog.event x on x.execution_id = s.execution_id and x.version = s.error_version
where s.execution_id = $1
    and not exists (
        select from playlog.retention r
        where r.kind = 'purged' and r.low_id <= s.execution_id and r.high_id > s.execution_id
    )

-- name: pools
-- The steps of a definition with their pools.
select json_object_agg(part ->> 'name', part ->> 'pool')
from playlog.definition d, json_array_elements(d.canonical -> 'steps') as part
where d.definition_hash = $1

-- name: by_key
-- The execution that a caller's key names.
select execution_id from playlog.idempotency where scope = 'key' and idempotency_key = $1

-- name: plan_each_time
-- For this transaction: plan for the given values, as a filter that is not given must cost nothing.
select set_config('plan_cache_mode', 'force_custom_plan', true)

-- name: page_down
-- Snapshots between two ids (both exclusive), newest first, that pass the given filters.
select execution_id, version, status, path, playbook_version, definition_hash, labels, started_at, ended_at,
    state ->> 'key' as key, state -> 'parent' as parent
from playlog.snapshot
where execution_id > $1 and execution_id < $2
    and ($4::text is null or status = $4)
    and ($5::text is null or path = $5)
    and ($6::jsonb is null or labels @> $6)
    and ($7::text is null or labels ? $7)
    and ($8::timestamptz is null or started_at > $8)
    and ($9::timestamptz is null or started_at < $9)
order by execution_id desc
limit $3

-- name: page_up
-- Snapshots between two ids (both exclusive), oldest first, that pass the given filters.
select execution_id, version, status, path, playbook_version, definition_hash, labels, started_at, ended_at,
    state ->> 'key' as key, state -> 'parent' as parent
from playlog.snapshot
where execution_id > $1 and execution_id < $2
    and ($4::text is null or status = $4)
    and ($5::text is null or path = $5)
    and ($6::jsonb is null or labels @> $6)
    and ($7::text is null or labels ? $7)
    and ($8::timestamptz is null or started_at > $8)
    and ($9::timestamptz is null or started_at < $9)
order by execution_id
limit $3
