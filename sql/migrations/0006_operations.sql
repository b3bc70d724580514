-- What operators look at: processes, stuck work, audit, retention and cursors of background passes.

create table playlog.runtime (
    runtime_id text not null,
    kind text not null,
    pool text,
    slots integer,
    tools text[],
    version text,
    host text,
    started_at timestamptz not null default clock_timestamp(),
    seen_at timestamptz not null default clock_timestamp(),
    constraint runtime_pk primary key (runtime_id)
);
comment on column playlog.runtime.tools is 'what a worker takes; null: every command of its pool';
create index runtime_seen on playlog.runtime (seen_at);
create index runtime_pool on playlog.runtime (pool, seen_at) where pool is not null;

create table playlog.incident (
    incident_id bigint generated always as identity,
    kind text not null,
    execution_id bigint,
    subject text not null,
    detail text not null,
    opened_at timestamptz not null default clock_timestamp(),
    seen_at timestamptz not null default clock_timestamp(),
    resolved_at timestamptz,
    constraint incident_pk primary key (incident_id)
);
create unique index incident_open on playlog.incident (kind, subject) where resolved_at is null;
create index incident_execution on playlog.incident (execution_id) where resolved_at is null;

create table playlog.audit (
    audit_id bigint generated always as identity,
    actor text not null,
    action text not null,
    subject text not null,
    detail json,
    at timestamptz not null default clock_timestamp(),
    constraint audit_pk primary key (audit_id)
);
create trigger audit_append_only before update or delete on playlog.audit
    for each row execute function playlog.refuse_change();
create trigger audit_no_truncate before truncate on playlog.audit
    for each statement execute function playlog.refuse_change();

create table playlog.retention (
    kind text not null,
    name text not null,
    low_id bigint not null,
    high_id bigint not null,
    reason text,
    created_at timestamptz not null default clock_timestamp(),
    constraint retention_pk primary key (kind, name),
    constraint retention_kind check (kind in ('hold', 'purged')),
    constraint retention_range check (low_id < high_id),
    constraint retention_hold_reason check ((kind = 'hold') = (reason is not null))
);
comment on table playlog.retention is
    'ranges of identifiers [low_id, high_id): holds, and what is purged, named after its month';

create function playlog.lock_partition(leaf text, exclusive boolean) returns void
language plpgsql
as $$
begin
    execute format('lock table playlog.%I in %s mode', leaf,
        case when exclusive then 'access exclusive' else 'share' end);
end
$$;
comment on function playlog.lock_partition is
    'until the transaction ends: no inserts into the partition; exclusive: no reading either';

create function playlog.empty_partition(month text) returns void
language plpgsql
as $$
declare
    leaf text := 'event_' || month;
    high bigint := (select high_id from playlog.retention where kind = 'purged' and name = month);
begin
    if high is null then
        raise exception 'retention does not say that playlog.% is purged', leaf
            using errcode = 'insufficient_privilege';
    end if;
    execute format('alter table playlog.%I disable trigger event_no_truncate', leaf);
    execute format('truncate playlog.%I', leaf);
    execute format('alter table playlog.%I enable trigger event_no_truncate', leaf);
    execute format('alter table playlog.%I drop constraint if exists event_purged', leaf);
    execute format('alter table playlog.%I add constraint event_purged check (execution_id >= %s)', leaf, high);
end
$$;
comment on function playlog.empty_partition is
    'the one way that events go: the partition of a purged range is emptied and takes nothing of it any more';

create function playlog.drop_detached(leaf text) returns boolean
language plpgsql
as $$
begin
    if not exists (
        select from pg_class
        where relnamespace = 'playlog'::regnamespace and relname = leaf and relkind = 'r' and not relispartition
    ) then
        return false;
    end if;
    execute format('drop table playlog.%I', leaf);
    return true;
end
$$;
comment on function playlog.drop_detached is
    'drops a table that is no partition any more; says whether there was one';

create table playlog.background_pass (
    name text not null,
    cursor_id bigint not null default 0,
    finished_at timestamptz not null default '-infinity',
    constraint background_pass_pk primary key (name)
);
comment on table playlog.background_pass is 'where the sweep and other paged passes go on';
insert into playlog.background_pass (name) values ('sweep_live'), ('sweep_ended'), ('refold'), ('stalled');
