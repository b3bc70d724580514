-- name: one
-- A version of a playbook, the newest when none is given.
select p.path, p.latest_version, p.paused, v.version, v.definition_hash, v.source, v.description, v.owner,
    v.tags, v.created_at, d.canonical
from playlog.playbook p
join playlog.playbook_version v on v.path = p.path and v.version = coalesce($2, p.latest_version)
join playlog.definition d on d.definition_hash = v.definition_hash
where p.path = $1

-- name: page
-- Playbooks with their newest version, by path after a path, that pass the given filters.
select p.path, p.paused, v.version, v.definition_hash, v.description, v.owner, v.tags, v.created_at
from playlog.playbook p
join playlog.playbook_version v on v.path = p.path and v.version = p.latest_version
where p.path > $1
    and ($3::text is null or position(lower($3) in lower(p.path || ' ' || coalesce(v.description, ''))) > 0)
    and ($4::text is null or $4 = any(v.tags))
    and ($5::text is null or v.owner = $5)
    and ($6::boolean is null or p.paused = $6)
order by p.path
limit $2

-- name: versions
-- The versions of a path below a version, newest first.
select version, definition_hash, description, owner, tags, created_at
from playlog.playbook_version
where path = $1 and version < $2
order by version desc
limit $3
