-- Playbooks: immutable definitions by content hash and the versions that name them.

create table playlog.definition (
    definition_hash bytea not null,
    canonical json not null,
    created_at timestamptz not null default clock_timestamp(),
    constraint definition_pk primary key (definition_hash),
    constraint definition_hash_length check (octet_length(definition_hash) = 32)
);
comment on table playlog.definition is 'canonical definitions, addressed by the SHA-256 of their bytes';
create trigger definition_append_only before update or delete on playlog.definition
    for each row execute function playlog.refuse_change();

create table playlog.playbook (
    path text not null,
    latest_version integer not null,
    paused boolean not null default false,
    updated_at timestamptz not null default clock_timestamp(),
    constraint playbook_pk primary key (path)
);

create table playlog.playbook_version (
    path text not null,
    version integer not null,
    definition_hash bytea not null,
    source text not null,
    description text,
    owner text,
    tags text[] not null default '{}',
    created_at timestamptz not null default clock_timestamp(),
    constraint playbook_version_pk primary key (path, version),
    constraint playbook_version_playbook foreign key (path) references playlog.playbook (path),
    constraint playbook_version_definition foreign key (definition_hash)
        references playlog.definition (definition_hash)
);
create index playbook_version_definition_hash on playlog.playbook_version (definition_hash);
