-- name: open
-- Incidents, one open row a subject; seen again, the newest words count.
insert into playlog.incident as i (kind, execution_id, subject, detail)
select $1, n.execution_id, n.subject, n.detail
from unnest($2::bigint[], $3::text[], $4::text[]) as n (execution_id, subject, detail)
order by n.subject
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
