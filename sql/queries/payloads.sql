-- name: store
-- A payload of an execution, once; an unknown execution gets none.
with head as (
    select execution_id from playlog.execution where execution_id = $1
), fresh as (
    insert into playlog.payload (execution_id, sha256, bytes, body)
    select execution_id, $2, octet_length($3::bytea), $3::bytea from head
    on conflict on constraint payload_pk do nothing
    returning execution_id
)
select exists (select from head) as is_known, exists (select from fresh) as is_new

-- name: sizes
-- How large these payloads are; those that do not exist are left out.
select p.execution_id, p.sha256, p.bytes
from unnest($1::bigint[], $2::bytea[]) as k (execution_id, sha256)
join playlog.payload p on p.execution_id = k.execution_id and p.sha256 = k.sha256

-- name: bodies
-- The bytes of these payloads, for deciding.
select p.execution_id, p.sha256, p.body
from unnest($1::bigint[], $2::bytea[]) as k (execution_id, sha256)
join playlog.payload p on p.execution_id = k.execution_id and p.sha256 = k.sha256

-- name: items
-- What the items of these maps gave, or one item of each; nothing for a map that is gone, else at least one row.
with map as materialized (
    select k.*, (e.payload ->> 'count')::integer as total
    from unnest($1::bigint[], $2::text[], $3::integer[], $4::integer[], $5::boolean[], $6::integer[])
        with ordinality as k (execution_id, step, opened, closed, errors, item, place)
    join playlog.event e on e.execution_id = k.execution_id and e.version = k.opened
)
select m.place, m.total, e.item, e.event_type, e.payload
from map m
left join playlog.event e on e.execution_id = m.execution_id and e.version > m.opened and e.version < m.closed
    and e.step = m.step and e.item is not null and (m.item is null or e.item = m.item)
    and (e.event_type = 'step.failed') = m.errors
    and e.event_type in ('step.failed', 'command.completed', 'child.completed')
order by m.place, e.version

-- name: map_ends
-- How many items a map has, where these versions are its opening and its closing.
select (o.payload ->> 'count')::integer as total
from playlog.event o
join playlog.event c on c.execution_id = o.execution_id and c.version = $4 and c.step = o.step
    and c.event_type = 'map.closed'
where o.execution_id = $1 and o.step = $2 and o.version = $3 and o.event_type = 'map.opened'

-- name: map_page
-- Events of a map's items of some types, after a version: so many bytes of them together, but at least one.
select version, item, event_type, payload
from (
    select e.*, sum(e.size) over (order by e.version) - e.size as before
    from (
        select version, item, event_type, payload, octet_length(payload::text) as size
        from playlog.event
        where execution_id = $1 and step = $2 and version > $3 and version < $4 and item is not null
            and event_type = any($5::text[])
        order by version
        limit $6
    ) e
) p
where before < $7
order by version

-- name: body
-- The bytes of one payload, for those who read it.
select body from playlog.payload where execution_id = $1 and sha256 = $2
