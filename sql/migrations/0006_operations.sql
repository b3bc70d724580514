-- What operators look at: processes, stuck work, audit, retention and cursors of background passes.

create table playlog.runtime (
    runtime_id text not null,
    kind text not null,
    pool text,
    slots integer,
    version text,
    host text,
    started_at timestamptz not null default clock_timestamp(),
    seen_at timestamptz not null default clock_timestamp(),
    constraint runtime_pk primary key (runtime_id)
);
create index runtime_seen on playlog.runtime (seen_at);

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
    name text not null,
    floor_id bigint not null default 0,
    hold_reason text,
    held_from bigint,
    held_to bigint,
    updated_at timestamptz not null default clock_timestamp(),
    constraint retention_pk primary key (name)
);
comment on table playlog.retention is 'the purge floor (name ''floor'') and holds on ranges of identifiers';
insert into playlog.retention (name) values ('floor');

create table playlog.background_pass (
    name text not null,
    cursor_id bigint not null default 0,
    finished_at timestamptz not null default '-infinity',
    constraint background_pass_pk primary key (name)
);
comment on table playlog.background_pass is 'where the sweep and other paged passes go on';
insert into playlog.background_pass (name) values ('sweep_live'), ('sweep_ended'), ('refold');
