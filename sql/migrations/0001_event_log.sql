-- The event log, the heads of its streams and the identifiers.

create schema if not exists playlog;

create sequence playlog.id_sequence;

create function playlog.new_ids(count integer) returns bigint[]
language sql volatile
as $$
    select array_agg(
        ((extract(epoch from clock_timestamp()) * 1000)::bigint - 1704067200000) << 22
        | (nextval('playlog.id_sequence') & 4194303)
    )
    from generate_series(1, count)
$$;
comment on function playlog.new_ids is
    '63-bit, time-ordered: milliseconds since 2024-01-01T00:00:00Z, then 22 bits of a sequence';

create function playlog.first_id_at(moment timestamptz) returns bigint
language sql immutable
as $$ select ((extract(epoch from moment) * 1000)::bigint - 1704067200000) << 22 $$;
comment on function playlog.first_id_at is 'the lowest identifier that can be given out at that moment';

create table playlog.event (
    execution_id bigint not null,
    version integer not null,
    event_id bigint not null,
    event_type text not null,
    step text,
    attempt integer,
    item integer,
    status text not null,
    payload json,
    meta json,
    content_hash bytea not null,
    command_id bigint,
    causation_id bigint,
    traceparent text,
    created_at timestamptz not null,
    recorded_at timestamptz not null,
    constraint event_pk primary key (execution_id, version),
    constraint event_event_id_key unique (execution_id, event_id),
    constraint event_version_positive check (version >= 1),
    constraint event_type_length check (length(event_type) between 1 and 128),
    constraint event_content_hash_length check (octet_length(content_hash) = 16)
) partition by range (execution_id);
comment on table playlog.event is 'the event log: append-only, one stream an execution, versions 1, 2, 3 ... without gaps';

create function playlog.refuse_change() returns trigger
language plpgsql
as $$
begin
    raise exception 'playlog.% is append-only: % is refused', tg_table_name, tg_op
        using errcode = 'insufficient_privilege';
end
$$;

create trigger event_append_only before update or delete on playlog.event
    for each row execute function playlog.refuse_change();
create trigger event_no_truncate before truncate on playlog.event
    for each statement execute function playlog.refuse_change();

create table playlog.execution (
    execution_id bigint not null,
    version integer not null,
    last_event_id bigint,
    recorded_at timestamptz not null,
    status text not null,
    definition_hash bytea,
    path text,
    playbook_version integer,
    parent_id bigint,
    pool text,
    priority smallint not null default 0,
    deadline timestamptz,
    ended_at timestamptz,
    quiet_since timestamptz generated always as (case when ended_at is not null then recorded_at end) stored,
    constraint execution_pk primary key (execution_id),
    constraint execution_version_not_negative check (version >= 0),
    constraint execution_definition_hash_length check (octet_length(definition_hash) = 32)
) with (fillfactor = 70);
comment on table playlog.execution is
    'the head of each stream, locked by every append; a head without a definition is foreign';
comment on column playlog.execution.quiet_since is
    'the last recorded_at of an ended execution; null while it is live, which keeps updates of live heads heap-only';
create index execution_live on playlog.execution (execution_id) where ended_at is null;
create index execution_quiet on playlog.execution (quiet_since) where quiet_since is not null;

create table playlog.payload (
    execution_id bigint not null,
    sha256 bytea not null,
    bytes integer not null,
    body bytea not null,
    created_at timestamptz not null default clock_timestamp(),
    constraint payload_pk primary key (execution_id, sha256),
    constraint payload_sha256_length check (octet_length(sha256) = 32),
    constraint payload_size check (bytes between 0 and 16777216)
) partition by range (execution_id);
comment on table playlog.payload is 'values too large for an event, addressed by their hash';

create table playlog.step_log (
    execution_id bigint not null,
    command_id bigint not null,
    seq integer not null,
    step text not null,
    attempt integer not null,
    stream text not null,
    line text not null,
    logged_at timestamptz not null,
    arrived xid8 not null default pg_current_xact_id(),
    constraint step_log_pk primary key (execution_id, command_id, seq),
    constraint step_log_stream check (stream in ('stdout', 'stderr', 'log'))
) partition by range (execution_id);
create index step_log_arrived on playlog.step_log (execution_id, arrived);
comment on table playlog.step_log is 'lines written by tools, idempotent by command and sequence';
comment on column playlog.step_log.arrived is
    'the transaction that stored it: a reader that goes on after one misses nothing below the oldest that runs';

create function playlog.guard_partition(leaf text) returns void
language plpgsql
as $$
begin
    execute format(
        'create trigger event_no_truncate before truncate on playlog.%I
            for each statement execute function playlog.refuse_change()', leaf);
end
$$;
comment on function playlog.guard_partition is
    'a partition is given the row triggers of its table, but none for statements: this refuses TRUNCATE';

create function playlog.add_partition(parent text, suffix text, low bigint, high bigint) returns void
language plpgsql
as $$
declare
    leaf text := parent || '_' || suffix;
begin
    execute format('create table playlog.%I (like playlog.%I including all)', leaf, parent);
    execute format(
        'alter table playlog.%I add constraint %I check (execution_id >= %s and execution_id < %s)',
        leaf, leaf || '_bounds', low, high);
    execute format(
        'alter table playlog.%I attach partition playlog.%I for values from (%s) to (%s)',
        parent, leaf, low, high);
    execute format('alter table playlog.%I drop constraint %I', leaf, leaf || '_bounds');
    perform playlog.guard_partition(leaf) where parent = 'event';
end
$$;
comment on function playlog.add_partition is
    'one partition [low, high) of event, payload or step_log; the check spares the scan under the lock';

create function playlog.partitions()
returns table (parent text, name text, low_id bigint, high_id bigint, is_pending boolean)
language sql stable
as $$
    select p.relname::text, c.relname::text,
        coalesce((regexp_match(b.bound, 'FROM \(''?(\d+)''?\)'))[1]::bigint, 0),
        (regexp_match(b.bound, 'TO \(''?(\d+)''?\)'))[1]::bigint,
        i.inhdetachpending
    from pg_inherits i
    join pg_class c on c.oid = i.inhrelid
    join pg_class p on p.oid = i.inhparent
    cross join lateral pg_get_expr(c.relpartbound, c.oid) as b (bound)
    where p.relnamespace = 'playlog'::regnamespace and p.relkind = 'p' and b.bound is not null
$$;
comment on function playlog.partitions is
    'every partition with its bounds [low_id, high_id); one that is being detached is pending';

do $$
declare
    parent text;
    -- Without a time zone: adding a month must not depend on the database's.
    month timestamp := date_trunc('month', clock_timestamp() at time zone 'UTC');
begin
    foreach parent in array array['event', 'payload', 'step_log'] loop
        execute format(
            'create table playlog.%I partition of playlog.%I for values from (minvalue) to (%s)',
            parent || '_low', parent, playlog.first_id_at(month at time zone 'UTC'));
        perform playlog.guard_partition('event_low') where parent = 'event';
        for ahead in 0..2 loop
            perform playlog.add_partition(
                parent,
                to_char(month + make_interval(months => ahead), 'YYYYMM'),
                playlog.first_id_at((month + make_interval(months => ahead)) at time zone 'UTC'),
                playlog.first_id_at((month + make_interval(months => ahead + 1)) at time zone 'UTC'));
        end loop;
    end loop;
end
$$;
