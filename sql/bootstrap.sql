-- Makes the schema and the list of applied migrations. Runs under the migration lock, as often as needed.
-- The schema may have been made by an administrator for a role that cannot make one.
do $$
begin
    if to_regnamespace('playlog') is null then
        create schema playlog;
    end if;
end
$$;

create table if not exists playlog.migration (
    name text not null,
    checksum text not null,
    applied_at timestamptz not null default clock_timestamp(),
    constraint migration_pk primary key (name),
    constraint migration_checksum_length check (length(checksum) = 64)
);
comment on table playlog.migration is 'what was applied, with the sha256 of each file';
