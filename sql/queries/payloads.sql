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

-- name: body
-- The bytes of one payload, for those who read it.
select body from playlog.payload where execution_id = $1 and sha256 = $2
