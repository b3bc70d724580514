-- name: open
-- Incidents of one kind, one open row a subject; seen again, the newest words count.
insert into playlog.incident as i (kind, execution_id, subject, detail)
select $1, n.execution_id, n.subject, n.detail
from unnest($2::bigint[], $3::text[], $4::text[]) as n (execution_id, subject, detail)
order by n.subject
on conflict (kind, subject) where resolved_at is null
do update set detail = excluded.detail, seen_at = clock_timestamp()

-- name: report
-- Incidents of any kind, one open row a subject; seen again, the newest words count.
insert into playlog.incident as i (kind, execution_id, subject, detail)
select n.kind, n.execution_id, n.subject, n.detail
from unnest($1::text[], $2::bigint[], $3::text[], $4::text[]) as n (kind, execution_id, subject, detail)
order by n.kind, n.subject
on conflict (kind, subject) where resolved_at is null
do update set detail = excluded.detail, seen_at = clock_timestamp()

-- name: resolve
-- Close the open incidents of these subjects.
update playlog.incident set resolved_at = clock_timestamp()
where kind = $1 and subject = any($2::text[]) and resolved_at is null

-- name: page
-- Incidents below a cursor, newest first: all, only open ones (true) or only resolved ones (false).
select incident_id, kind, execution_id, subject, detail, opened_at, seen_at, resolved_at
from playlog.incident
where incident_id < $1 and ($3::boolean is null or $3 = (resolved_at is null))
order by incident_id desc
limit $2

-- name: hindering
-- Open incidents of one execution and of pools, oldest first; those of tools name their pool first.
select incident_id, kind, execution_id, subject, detail, opened_at, seen_at, resolved_at
from playlog.incident
where resolved_at is null and incident_id in (
    select incident_id from playlog.incident where resolved_at is null and execution_id = $1
    union all
    select incident_id from playlog.incident
    where resolved_at is null and kind = 'pool_without_workers' and subject = any($2::text[])
    union all
    select incident_id from playlog.incident
    where resolved_at is null and kind = 'tool_without_workers' and split_part(subject, '/', 1) = any($2::text[])
)
order by incident_id
limit $3
