-- The read model: one folded state an execution.

create table playlog.snapshot (
    execution_id bigint not null,
    version integer not null,
    fold_version smallint not null,
    hash bytea not null,
    status text not null,
    path text,
    playbook_version integer,
    definition_hash bytea,
    parent_id bigint,
    labels jsonb not null default '{}',
    started_at timestamptz not null,
    ended_at timestamptz,
    recorded_at timestamptz not null,
    output_version integer,
    error_version integer,
    state json not null,
    projected_at timestamptz not null default clock_timestamp(),
    constraint snapshot_pk primary key (execution_id),
    constraint snapshot_version_positive check (version >= 1),
    constraint snapshot_hash_length check (octet_length(hash) = 16)
) with (fillfactor = 70);
comment on column playlog.snapshot.output_version is 'version of the event that carries the execution''s output';
create index snapshot_status on playlog.snapshot (status, execution_id desc);
create index snapshot_path on playlog.snapshot (path, execution_id desc);
create index snapshot_fold on playlog.snapshot (fold_version);
create index snapshot_parent on playlog.snapshot (parent_id) where parent_id is not null;
