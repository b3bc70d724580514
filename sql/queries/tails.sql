-- name: after
-- Where logs stand, with what follows these versions in order: so many events, and about so many bytes, of each.
select t.execution_id as asked_id, t.version as asked_version, e.version as head_version,
    e.status as head_status, e.ended_at is not null as is_ended, v.*
from unnest($1::bigint[], $2::integer[]) as t (execution_id, version)
join playlog.execution e on e.execution_id = t.execution_id
left join lateral (
    select w.execution_id, w.version, w.event_id, w.event_type, w.step, w.attempt, w.item, w.status, w.payload,
        w.meta, w.command_id, w.causation_id, w.traceparent, w.created_at, w.recorded_at
    from (
        select p.*, sum(octet_length(p.payload::text)) over (
            order by p.version rows between unbounded preceding and 1 preceding
        ) as bytes_before
        from (
            select * from playlog.event v
            where v.execution_id = t.execution_id and v.version > t.version
            order by v.version
            limit $3
        ) p
    ) w
    where coalesce(w.bytes_before, 0) < $4
) v on true
where not exists (
    select from playlog.retention r
    where r.kind = 'purged' and r.low_id <= e.execution_id and r.high_id > e.execution_id
)
order by asked_id, asked_version, v.version
