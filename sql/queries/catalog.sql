-- name: lock_playbook
-- One registration of a path at a time.
select pg_advisory_xact_lock(hashtextextended('playlog.playbook:' || $1, 0))

-- name: latest
-- The newest version of a path.
select p.path, p.latest_version, p.paused, v.definition_hash
from playlog.playbook p
join playlog.playbook_version v on v.path = p.path and v.version = p.latest_version
where p.path = $1

-- name: insert_definition
-- A definition; the same content again is nothing new.
insert into playlog.definition (definition_hash, canonical) values ($1, $2)
on conflict (definition_hash) do nothing

-- name: upsert_playbook
-- The path with its newest version.
insert into playlog.playbook (path, latest_version) values ($1, $2)
on conflict (path) do update set latest_version = excluded.latest_version, updated_at = clock_timestamp()

-- name: insert_version
-- A new version of a path.
insert into playlog.playbook_version (path, version, definition_hash, source, description, owner, tags)
values ($1, $2, $3, $4, $5, $6, $7)

-- name: resolve
-- What a start needs: the definition of a path's given or newest version, a fresh id and the clock.
select p.path, v.version, v.definition_hash, p.paused, (playlog.new_ids(1))[1] as fresh_id,
    clock_timestamp() as moment, d.canonical
from playlog.playbook p
join playlog.playbook_version v on v.path = p.path and v.version = coalesce($2, p.latest_version)
left join playlog.definition d on d.definition_hash = v.definition_hash and not v.definition_hash = any($3)
where p.path = $1

-- name: definition_of
-- The definition of an execution, and the clock.
select d.canonical, clock_timestamp() as moment
from playlog.execution e
join playlog.definition d on d.definition_hash = e.definition_hash
where e.execution_id = $1

-- name: pause
-- Stop or allow new executions of a path.
update playlog.playbook set paused = $2, updated_at = clock_timestamp() where path = $1 returning path
