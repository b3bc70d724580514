-- What operators did: written with each action, never changed.

-- name: note
-- Write down an action.
insert into playlog.audit (actor, action, subject, detail) values ($1, $2, $3, $4)

-- name: page
-- Actions below a cursor, newest first.
select audit_id, actor, action, subject, detail, at
from playlog.audit
where audit_id < $1
order by audit_id desc
limit $2
