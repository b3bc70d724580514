-- The runner's own statements; the table they read is made by bootstrap.sql.

-- name: try_lock
-- Takes the migration lock of this database for the session, or says at once that another has it.
select pg_try_advisory_lock($1::bigint);

-- name: unlock
-- Gives the migration lock back.
select pg_advisory_unlock($1::bigint);

-- name: has_table
-- Says whether this database was ever migrated.
select to_regclass('playlog.migration') is not null;

-- name: applied
-- Lists what was applied, in order.
select name, checksum, applied_at from playlog.migration order by name;

-- name: record
-- Notes that a migration was applied, with the sha256 of its file.
insert into playlog.migration (name, checksum) values ($1, $2);
