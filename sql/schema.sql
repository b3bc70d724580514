-- The schema as the migrations leave it; written by `make schema`, never by hand.
set check_function_bodies = off;

create sequence playlog.id_sequence;

create table playlog.audit (
    audit_id bigint not null generated always as identity,
    actor text not null,
    action text not null,
    subject text not null,
    detail json,
    at timestamp with time zone not null default clock_timestamp(),
    constraint audit_pk PRIMARY KEY (audit_id)
);

create table playlog.background_pass (
    name text not null,
    cursor_id bigint not null default 0,
    finished_at timestamp with time zone not null default '-infinity'::timestamp with time zone,
    constraint background_pass_pk PRIMARY KEY (name)
);
comment on table playlog.background_pass is 'where the sweep and other paged passes go on';

create table playlog.command (
    command_id bigint not null,
    execution_id bigint not null,
    step text not null,
    item integer,
    attempt integer not null,
    tool text not null,
    pool text not null,
    priority smallint not null default 0,
    state text not null default 'pending'::text,
    paused boolean not null default false,
    input json not null,
    handles json,
    deferred json,
    timeout_seconds double precision not null,
    available_at timestamp with time zone not null,
    deadline timestamp with time zone,
    lease_token bigint,
    leased_until timestamp with time zone,
    worker_id text,
    claimed_at timestamp with time zone,
    announced_at timestamp with time zone,
    closed_at timestamp with time zone,
    traceparent text,
    concurrency_key text,
    concurrency_limit integer,
    permitted boolean not null default false,
    idempotency_key text,
    constraint command_concurrency CHECK ((((concurrency_key IS NULL) AND (concurrency_limit IS NULL)) OR ((concurrency_key IS NOT NULL) AND (concurrency_limit >= 1)))),
    constraint command_lease CHECK (((state <> 'claimed'::text) OR ((lease_token IS NOT NULL) AND (leased_until IS NOT NULL) AND (deadline IS NOT NULL)))),
    constraint command_paused CHECK ((NOT (paused AND (state = 'pending'::text)))),
    constraint command_permit CHECK (((concurrency_key IS NULL) OR permitted OR (state = ANY (ARRAY['held'::text, 'closed'::text])))),
    constraint command_pk PRIMARY KEY (command_id),
    constraint command_state CHECK ((state = ANY (ARRAY['pending'::text, 'claimed'::text, 'held'::text, 'closed'::text])))
) with (fillfactor=70);
comment on column playlog.command.announced_at is 'when the first heartbeat recorded the claim in the log';
comment on column playlog.command.available_at is 'since when it may be claimed, or waits for a permit';
comment on column playlog.command.concurrency_key is 'the path of its playbook, or nothing, a colon, and the key that its step gave';
comment on column playlog.command.deadline is 'end of the attempt, counted from its claim; no lease goes beyond it';
comment on column playlog.command.deferred is 'the places in the input where an expression stands for the worker to evaluate; null when there are none';
comment on column playlog.command.handles is 'the places in the input where a reference stands for its payload; null when there are none';
comment on column playlog.command.paused is 'whether its execution is paused; state held means: paused, or waiting for a permit of its concurrency key';
comment on column playlog.command.permitted is 'whether it has a permit of its concurrency key, until it is closed; before that it is held';
CREATE INDEX command_claimable ON playlog.command USING btree (pool, priority DESC, available_at, command_id) WHERE (state = 'pending'::text);
CREATE INDEX command_closed ON playlog.command USING btree (closed_at) WHERE (state = 'closed'::text);
CREATE INDEX command_in_line ON playlog.command USING btree (concurrency_key, priority DESC, available_at, command_id) WHERE ((concurrency_key IS NOT NULL) AND (state = 'held'::text) AND (NOT permitted));
CREATE INDEX command_leased ON playlog.command USING btree (leased_until) WHERE (state = 'claimed'::text);
CREATE INDEX command_open ON playlog.command USING btree (execution_id) WHERE (state <> 'closed'::text);
CREATE INDEX command_permitted ON playlog.command USING btree (concurrency_key, available_at, command_id) WHERE (permitted AND (state <> 'closed'::text));

create table playlog.definition (
    definition_hash bytea not null,
    canonical json not null,
    created_at timestamp with time zone not null default clock_timestamp(),
    constraint definition_hash_length CHECK ((octet_length(definition_hash) = 32)),
    constraint definition_pk PRIMARY KEY (definition_hash)
);
comment on table playlog.definition is 'canonical definitions, addressed by the SHA-256 of their bytes';

create table playlog.delivery (
    delivery_id bigint not null generated always as identity,
    target_execution_id bigint not null,
    kind text not null,
    event_id bigint not null,
    payload json not null,
    attempts integer not null default 0,
    available_at timestamp with time zone not null default clock_timestamp(),
    created_at timestamp with time zone not null default clock_timestamp(),
    constraint delivery_pk PRIMARY KEY (delivery_id),
    constraint delivery_target_event_key UNIQUE (target_execution_id, event_id)
);
comment on table playlog.delivery is 'messages of one execution to another, written in the deciding transaction';
CREATE INDEX delivery_due ON playlog.delivery USING btree (available_at);
CREATE INDEX delivery_failing ON playlog.delivery USING btree (delivery_id) WHERE (attempts >= 5);

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
    created_at timestamp with time zone not null,
    recorded_at timestamp with time zone not null,
    constraint event_content_hash_length CHECK ((octet_length(content_hash) = 16)),
    constraint event_event_id_key UNIQUE (execution_id, event_id),
    constraint event_pk PRIMARY KEY (execution_id, version),
    constraint event_type_length CHECK (((length(event_type) >= 1) AND (length(event_type) <= 128))),
    constraint event_version_positive CHECK ((version >= 1))
) partition by RANGE (execution_id);
comment on table playlog.event is 'the event log: append-only, one stream an execution, versions 1, 2, 3 ... without gaps';
-- partitions like event_YYYYMM: 3
-- partitions like event_low: 1

create table playlog.execution (
    execution_id bigint not null,
    version integer not null,
    last_event_id bigint,
    recorded_at timestamp with time zone not null,
    status text not null,
    definition_hash bytea,
    path text,
    playbook_version integer,
    parent_id bigint,
    pool text,
    priority smallint not null default 0,
    deadline timestamp with time zone,
    ended_at timestamp with time zone,
    quiet_since timestamp with time zone generated always as (
CASE
    WHEN (ended_at IS NOT NULL) THEN recorded_at
    ELSE NULL::timestamp with time zone
END) stored,
    constraint execution_definition_hash_length CHECK ((octet_length(definition_hash) = 32)),
    constraint execution_pk PRIMARY KEY (execution_id),
    constraint execution_version_not_negative CHECK ((version >= 0))
) with (fillfactor=70);
comment on table playlog.execution is 'the head of each stream, locked by every append; a head without a definition is foreign';
comment on column playlog.execution.quiet_since is 'the last recorded_at of an ended execution; null while it is live, which keeps updates of live heads heap-only';
CREATE INDEX execution_live ON playlog.execution USING btree (execution_id) WHERE (ended_at IS NULL);
CREATE INDEX execution_quiet ON playlog.execution USING btree (quiet_since) WHERE (quiet_since IS NOT NULL);

create table playlog.idempotency (
    scope text not null,
    idempotency_key text not null,
    request_hash bytea not null,
    execution_id bigint,
    answer json,
    created_at timestamp with time zone not null default clock_timestamp(),
    constraint idempotency_hash_length CHECK ((octet_length(request_hash) = 16)),
    constraint idempotency_pk PRIMARY KEY (scope, idempotency_key)
);
comment on table playlog.idempotency is 'first answers of requests with an Idempotency-Key, and callers'' own keys of executions';
CREATE INDEX idempotency_created ON playlog.idempotency USING btree (created_at);

create table playlog.incident (
    incident_id bigint not null generated always as identity,
    kind text not null,
    execution_id bigint,
    subject text not null,
    detail text not null,
    opened_at timestamp with time zone not null default clock_timestamp(),
    seen_at timestamp with time zone not null default clock_timestamp(),
    resolved_at timestamp with time zone,
    constraint incident_pk PRIMARY KEY (incident_id)
);
CREATE INDEX incident_execution ON playlog.incident USING btree (execution_id) WHERE (resolved_at IS NULL);
CREATE UNIQUE INDEX incident_open ON playlog.incident USING btree (kind, subject) WHERE (resolved_at IS NULL);

create table playlog.migration (
    name text not null,
    checksum text not null,
    applied_at timestamp with time zone not null default clock_timestamp(),
    constraint migration_checksum_length CHECK ((length(checksum) = 64)),
    constraint migration_pk PRIMARY KEY (name)
);
comment on table playlog.migration is 'what was applied, with the sha256 of each file';

create table playlog.outbox (
    outbox_id bigint not null generated always as identity,
    shard smallint not null,
    execution_id bigint not null,
    first_version integer not null,
    last_version integer not null,
    event_id bigint not null,
    subject text not null,
    payload text not null,
    traceparent text,
    attempts integer not null default 0,
    available_at timestamp with time zone not null default clock_timestamp(),
    lease_token bigint,
    leased_until timestamp with time zone,
    first_failed_at timestamp with time zone,
    last_error text,
    created_at timestamp with time zone not null default clock_timestamp(),
    constraint outbox_lease CHECK (((lease_token IS NULL) = (leased_until IS NULL))),
    constraint outbox_pk PRIMARY KEY (outbox_id),
    constraint outbox_state CHECK (((attempts > 0) = ((lease_token IS NOT NULL) OR (first_failed_at IS NOT NULL)))),
    constraint outbox_versions CHECK (((last_version >= first_version) AND (first_version >= 1)))
);
comment on table playlog.outbox is 'messages waiting to be published; a published row is deleted';
comment on column playlog.outbox.attempts is '0 until it was leased or failed for the first time; from then on it can hold back its execution';
CREATE INDEX outbox_fresh ON playlog.outbox USING btree (shard, outbox_id) WHERE (attempts = 0);
CREATE INDEX outbox_leased ON playlog.outbox USING btree (shard, leased_until, outbox_id) WHERE (lease_token IS NOT NULL);
CREATE INDEX outbox_parked ON playlog.outbox USING btree (shard, available_at, outbox_id) WHERE ((first_failed_at IS NOT NULL) AND (lease_token IS NULL));
CREATE INDEX outbox_tried ON playlog.outbox USING btree (execution_id, outbox_id) WHERE (attempts > 0);

create table playlog.outbox_dead (
    outbox_id bigint not null,
    shard smallint not null,
    execution_id bigint not null,
    first_version integer not null,
    last_version integer not null,
    event_id bigint not null,
    subject text not null,
    payload text not null,
    traceparent text,
    attempts integer not null,
    last_error text,
    created_at timestamp with time zone not null,
    died_at timestamp with time zone not null default clock_timestamp(),
    constraint outbox_dead_pk PRIMARY KEY (outbox_id)
);
CREATE INDEX outbox_dead_execution ON playlog.outbox_dead USING btree (execution_id);

create table playlog.payload (
    execution_id bigint not null,
    sha256 bytea not null,
    bytes integer not null,
    body bytea not null,
    created_at timestamp with time zone not null default clock_timestamp(),
    constraint payload_pk PRIMARY KEY (execution_id, sha256),
    constraint payload_sha256_length CHECK ((octet_length(sha256) = 32)),
    constraint payload_size CHECK (((bytes >= 0) AND (bytes <= 16777216)))
) partition by RANGE (execution_id);
comment on table playlog.payload is 'values too large for an event, addressed by their hash';
-- partitions like payload_YYYYMM: 3
-- partitions like payload_low: 1

create table playlog.playbook (
    path text not null,
    latest_version integer not null,
    paused boolean not null default false,
    updated_at timestamp with time zone not null default clock_timestamp(),
    constraint playbook_pk PRIMARY KEY (path)
);

create table playlog.playbook_version (
    path text not null,
    version integer not null,
    definition_hash bytea not null,
    source text not null,
    description text,
    owner text,
    tags text[] not null default '{}'::text[],
    created_at timestamp with time zone not null default clock_timestamp(),
    constraint playbook_version_pk PRIMARY KEY (path, version)
);
CREATE INDEX playbook_version_definition_hash ON playlog.playbook_version USING btree (definition_hash);

create table playlog.retention (
    kind text not null,
    name text not null,
    low_id bigint not null,
    high_id bigint not null,
    reason text,
    created_at timestamp with time zone not null default clock_timestamp(),
    constraint retention_hold_reason CHECK (((kind = 'hold'::text) = (reason IS NOT NULL))),
    constraint retention_kind CHECK ((kind = ANY (ARRAY['hold'::text, 'purged'::text]))),
    constraint retention_pk PRIMARY KEY (kind, name),
    constraint retention_range CHECK ((low_id < high_id))
);
comment on table playlog.retention is 'ranges of identifiers [low_id, high_id): holds, and what is purged, named after its month';

create table playlog.runtime (
    runtime_id text not null,
    kind text not null,
    pool text,
    slots integer,
    tools text[],
    version text,
    host text,
    started_at timestamp with time zone not null default clock_timestamp(),
    seen_at timestamp with time zone not null default clock_timestamp(),
    constraint runtime_pk PRIMARY KEY (runtime_id)
);
comment on column playlog.runtime.tools is 'what a worker takes; null: every command of its pool';
CREATE INDEX runtime_pool ON playlog.runtime USING btree (pool, seen_at) WHERE (pool IS NOT NULL);
CREATE INDEX runtime_seen ON playlog.runtime USING btree (seen_at);

create table playlog.schedule (
    schedule_id bigint not null,
    path text not null,
    playbook_version integer,
    inputs json not null default '{}'::json,
    cron text,
    interval_seconds double precision,
    timezone text not null default 'UTC'::text,
    overlap text not null default 'skip'::text,
    catch_up_limit integer not null default 1,
    paused boolean not null default false,
    next_at timestamp with time zone,
    last_at timestamp with time zone,
    last_execution_id bigint,
    created_at timestamp with time zone not null default clock_timestamp(),
    constraint schedule_cron_or_interval CHECK (((cron IS NULL) <> (interval_seconds IS NULL))),
    constraint schedule_interval_positive CHECK ((interval_seconds > (0)::double precision)),
    constraint schedule_overlap CHECK ((overlap = ANY (ARRAY['skip'::text, 'queue'::text, 'cancel_running'::text]))),
    constraint schedule_pk PRIMARY KEY (schedule_id)
);
CREATE INDEX schedule_due ON playlog.schedule USING btree (next_at) WHERE (NOT paused);

create table playlog.shard (
    shard smallint not null,
    last_pass_at timestamp with time zone not null default '-infinity'::timestamp with time zone,
    stream_created text,
    last_seq bigint not null default 0,
    safe_at timestamp with time zone,
    generation integer not null default 1,
    refill_after bigint,
    safe_seq bigint not null default 0,
    published_at timestamp with time zone,
    refill_from timestamp with time zone,
    server text,
    constraint shard_pk PRIMARY KEY (shard),
    constraint shard_range CHECK (((shard >= 0) AND (shard <= 15))),
    constraint shard_refill CHECK (((refill_after IS NULL) = (refill_from IS NULL)))
) with (fillfactor=50);
comment on column playlog.shard.published_at is 'when the stream last acknowledged something';
comment on column playlog.shard.refill_after is 'while a refill is unfinished: the last execution_id it has published; null otherwise';
comment on column playlog.shard.refill_from is 'while a refill is unfinished: executions that recorded something since then are published again';
comment on column playlog.shard.safe_at is 'events of the shard recorded before this lie at or before safe_seq in the stream';
comment on column playlog.shard.server is 'system identifier and timeline of the PostgreSQL from which was published';

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
    labels jsonb not null default '{}'::jsonb,
    started_at timestamp with time zone not null,
    ended_at timestamp with time zone,
    recorded_at timestamp with time zone not null,
    output_version integer,
    error_version integer,
    state json not null,
    projected_at timestamp with time zone not null default clock_timestamp(),
    constraint snapshot_hash_length CHECK ((octet_length(hash) = 16)),
    constraint snapshot_pk PRIMARY KEY (execution_id),
    constraint snapshot_version_positive CHECK ((version >= 1))
) with (fillfactor=70);
comment on column playlog.snapshot.output_version is 'version of the event that carries the execution''s output';
CREATE INDEX snapshot_fold ON playlog.snapshot USING btree (fold_version);
CREATE INDEX snapshot_parent ON playlog.snapshot USING btree (parent_id) WHERE (parent_id IS NOT NULL);
CREATE INDEX snapshot_path ON playlog.snapshot USING btree (path, execution_id DESC);
CREATE INDEX snapshot_status ON playlog.snapshot USING btree (status, execution_id DESC);

create table playlog.step_log (
    execution_id bigint not null,
    command_id bigint not null,
    seq integer not null,
    step text not null,
    attempt integer not null,
    stream text not null,
    line text not null,
    logged_at timestamp with time zone not null,
    arrived xid8 not null default pg_current_xact_id(),
    constraint step_log_pk PRIMARY KEY (execution_id, command_id, seq),
    constraint step_log_stream CHECK ((stream = ANY (ARRAY['stdout'::text, 'stderr'::text, 'log'::text])))
) partition by RANGE (execution_id);
comment on table playlog.step_log is 'lines written by tools, idempotent by command and sequence';
comment on column playlog.step_log.arrived is 'the transaction that stored it: a reader that goes on after one misses nothing below the oldest that runs';
CREATE INDEX step_log_arrived ON ONLY playlog.step_log USING btree (execution_id, arrived);
-- partitions like step_log_YYYYMM: 3
-- partitions like step_log_low: 1

create table playlog.timer (
    execution_id bigint not null,
    timer_key text not null,
    due_at timestamp with time zone not null,
    constraint timer_pk PRIMARY KEY (execution_id, timer_key)
);
CREATE INDEX timer_due ON playlog.timer USING btree (due_at);

CREATE OR REPLACE FUNCTION playlog.add_partition(parent text, suffix text, low bigint, high bigint)
 RETURNS void
 LANGUAGE plpgsql
AS $function$
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
$function$;
comment on function playlog.add_partition(text,text,bigint,bigint) is 'one partition [low, high) of event, payload or step_log; the check spares the scan under the lock';

CREATE OR REPLACE FUNCTION playlog.bits_of(hex text)
 RETURNS integer
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
AS $function$ select coalesce(bit_count(decode(repeat('0', length(hex) % 2) || hex, 'hex')), 0)::integer $function$;
comment on function playlog.bits_of(text) is 'how many bits are set in a number in hexadecimal; 0 for null';

CREATE OR REPLACE FUNCTION playlog.drop_detached(leaf text)
 RETURNS boolean
 LANGUAGE plpgsql
AS $function$
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
$function$;
comment on function playlog.drop_detached(text) is 'drops a table that is no partition any more; says whether there was one';

CREATE OR REPLACE FUNCTION playlog.due_messages(shards smallint[], most integer)
 RETURNS TABLE(outbox_id bigint, execution_id bigint)
 LANGUAGE sql
 STABLE
AS $function$
    with found as materialized (
        select d.outbox_id, d.execution_id
        from unnest(shards) as owned (shard)
        cross join lateral playlog.due_of_shard(owned.shard, most) as d
    )
    select f.outbox_id, f.execution_id
    from found f
    where not exists (
        select from playlog.outbox tried
        where tried.attempts > 0 and tried.execution_id = f.execution_id and tried.outbox_id < f.outbox_id
            and tried.outbox_id not in (select found.outbox_id from found)
        offset 0 -- keeps the planner from joining with all tried messages where it believes that they are few
    )
$function$;
comment on function playlog.due_messages(smallint[],integer) is 'due messages of shards, so many of each kind; none whose execution has an earlier one that is left out';

CREATE OR REPLACE FUNCTION playlog.due_of_shard(of_shard smallint, most integer)
 RETURNS SETOF playlog.outbox
 LANGUAGE sql
 STABLE
AS $function$
    (select * from playlog.due_outbox()
        where shard = of_shard and attempts = 0
        order by outbox_id limit most)
    union all
    (select * from playlog.due_outbox()
        where shard = of_shard and lease_token is not null and leased_until <= (select clock_timestamp())
        order by leased_until, outbox_id limit most)
    union all
    (select * from playlog.due_outbox()
        where shard = of_shard and first_failed_at is not null and lease_token is null
        order by available_at, outbox_id limit most)
$function$;
comment on function playlog.due_of_shard(smallint,integer) is 'due messages of a shard: new ones, ones whose lease ran out, ones whose backoff is over; so many of each';

CREATE OR REPLACE FUNCTION playlog.due_outbox()
 RETURNS SETOF playlog.outbox
 LANGUAGE sql
 STABLE
AS $function$
    select o.*
    from playlog.outbox o
    where o.available_at <= (select clock_timestamp())
        and (o.leased_until is null or o.leased_until <= (select clock_timestamp()))
        and not exists (
            select from playlog.outbox held
            where held.attempts > 0 and held.execution_id = o.execution_id and held.outbox_id < o.outbox_id
                and (held.available_at > clock_timestamp() or held.leased_until > clock_timestamp())
        )
$function$;
comment on function playlog.due_outbox() is 'what may be published now: a leased or parked message holds back itself and the later ones of its execution';

CREATE OR REPLACE FUNCTION playlog.empty_partition(month text)
 RETURNS void
 LANGUAGE plpgsql
AS $function$
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
$function$;
comment on function playlog.empty_partition(text) is 'the one way that events go: the partition of a purged range is emptied and takes nothing of it any more';

CREATE OR REPLACE FUNCTION playlog.first_id_at(moment timestamp with time zone)
 RETURNS bigint
 LANGUAGE sql
 IMMUTABLE
AS $function$ select ((extract(epoch from moment) * 1000)::bigint - 1704067200000) << 22 $function$;
comment on function playlog.first_id_at(timestamp with time zone) is 'the lowest identifier that can be given out at that moment';

CREATE OR REPLACE FUNCTION playlog.guard_partition(leaf text)
 RETURNS void
 LANGUAGE plpgsql
AS $function$
begin
    execute format(
        'create trigger event_no_truncate before truncate on playlog.%I
            for each statement execute function playlog.refuse_change()', leaf);
end
$function$;
comment on function playlog.guard_partition(text) is 'a partition is given the row triggers of its table, but none for statements: this refuses TRUNCATE';

CREATE OR REPLACE FUNCTION playlog.lock_partition(leaf text, exclusive boolean)
 RETURNS void
 LANGUAGE plpgsql
AS $function$
begin
    execute format('lock table playlog.%I in %s mode', leaf,
        case when exclusive then 'access exclusive' else 'share' end);
end
$function$;
comment on function playlog.lock_partition(text,boolean) is 'until the transaction ends: no inserts into the partition; exclusive: no reading either';

CREATE OR REPLACE FUNCTION playlog.moment_of(said text)
 RETURNS timestamp with time zone
 LANGUAGE sql
 STABLE PARALLEL SAFE STRICT
AS $function$
    select case
        when said ~ ('^(19[7-9]|2\d\d)\d-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])T([01]\d|2[0-3]):[0-5]\d:[0-5]\d'
            || '(\.\d{1,9})?(Z|[+-](0\d|1[0-4]):[0-5]\d)$')
        then (overlay(said placing '01' from 9 for 2))::timestamptz
            + make_interval(hours => 24 * (substr(said, 9, 2)::integer - 1))
    end
$function$;
comment on function playlog.moment_of(text) is 'a time as a producer wrote it, null for any other text, and never an error: 30 February is 2 March';

CREATE OR REPLACE FUNCTION playlog.new_ids(count integer)
 RETURNS bigint[]
 LANGUAGE sql
AS $function$
    select array_agg(
        ((extract(epoch from clock_timestamp()) * 1000)::bigint - 1704067200000) << 22
        | (nextval('playlog.id_sequence') & 4194303)
    )
    from generate_series(1, count)
$function$;
comment on function playlog.new_ids(integer) is '63-bit, time-ordered: milliseconds since 2024-01-01T00:00:00Z, then 22 bits of a sequence';

CREATE OR REPLACE FUNCTION playlog.open_units(state json)
 RETURNS TABLE(step text, item integer, undoing boolean, unit json, waiting json, began timestamp with time zone, retry_at timestamp with time zone, place text, total integer, next integer, failed integer, dropped integer, open integer)
 LANGUAGE sql
 STABLE PARALLEL SAFE
AS $function$
    select t.name, u.item, t.undo is not null, u.unit, u.waiting, (t.told ->> 'started_at')::timestamptz,
        (state -> 'timers' ->> (t.place || coalesce('[' || u.item || ']', '') || ':retry'))::timestamptz,
        t.place, u.total, u.next, u.failed, u.dropped, u.open
    from (
        select e.name, e.told, e.told -> 'undo' -> 'is' as undo,
            e.name || case when e.told -> 'undo' is null then '' else '!' end as place
        from json_each(state -> 'steps') as e (name, told)
        where e.told -> 'undo' is not null or e.told ->> 'status' in ('queued', 'running', 'waiting', 'retrying')
    ) t
    cross join lateral (
        select null::integer as item, coalesce(t.undo, t.told) as unit,
            case when t.undo is null then t.told -> 'waiting' end as waiting, null::integer as total,
            null::integer as next, null::integer as failed, null::integer as dropped, null::integer as open
        where t.undo is not null or t.told -> 'waiting' is not null or t.told -> 'map' is null
        union all
        (
            select o.item::integer, o.unit, null, coalesce((t.told -> 'map' ->> 'total')::integer, 0),
                coalesce((t.told -> 'map' ->> 'next')::integer, 0), playlog.bits_of(t.told -> 'map' ->> 'failed'),
                coalesce((t.told -> 'map' ->> 'dropped')::integer, 0), (count(*) over ())::integer
            from json_each(t.told -> 'map' -> 'open') as o (item, unit)
            where t.undo is null and t.told -> 'waiting' is null
            order by coalesce((o.unit ->> 'since')::timestamptz, (t.told ->> 'started_at')::timestamptz),
                o.item::integer
            limit 1
        )
    ) u
$function$;
comment on function playlog.open_units(json) is 'what is open in the state of a snapshot, one row a step: its attempts, those of its undoing, or of the item that is open longest';

CREATE OR REPLACE FUNCTION playlog.partitions()
 RETURNS TABLE(parent text, name text, low_id bigint, high_id bigint, is_pending boolean)
 LANGUAGE sql
 STABLE
AS $function$
    select p.relname::text, c.relname::text,
        coalesce((regexp_match(b.bound, 'FROM \(''?(\d+)''?\)'))[1]::bigint, 0),
        (regexp_match(b.bound, 'TO \(''?(\d+)''?\)'))[1]::bigint,
        i.inhdetachpending
    from pg_inherits i
    join pg_class c on c.oid = i.inhrelid
    join pg_class p on p.oid = i.inhparent
    cross join lateral pg_get_expr(c.relpartbound, c.oid) as b (bound)
    where p.relnamespace = 'playlog'::regnamespace and p.relkind = 'p' and b.bound is not null
$function$;
comment on function playlog.partitions() is 'every partition with its bounds [low_id, high_id); one that is being detached is pending';

CREATE OR REPLACE FUNCTION playlog.refuse_change()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
begin
    raise exception 'playlog.% is append-only: % is refused', tg_table_name, tg_op
        using errcode = 'insufficient_privilege';
end
$function$;

CREATE OR REPLACE FUNCTION playlog.views_version()
 RETURNS integer
 LANGUAGE sql
 IMMUTABLE PARALLEL SAFE
AS $function$ select 1 $function$;
comment on function playlog.views_version() is 'raised whenever a view or a column of one is added';

alter table playlog.playbook_version add constraint playbook_version_definition FOREIGN KEY (definition_hash) REFERENCES playlog.definition(definition_hash);
alter table playlog.playbook_version add constraint playbook_version_playbook FOREIGN KEY (path) REFERENCES playlog.playbook(path);

CREATE TRIGGER audit_append_only BEFORE DELETE OR UPDATE ON playlog.audit FOR EACH ROW EXECUTE FUNCTION playlog.refuse_change();
CREATE TRIGGER audit_no_truncate BEFORE TRUNCATE ON playlog.audit FOR EACH STATEMENT EXECUTE FUNCTION playlog.refuse_change();

CREATE TRIGGER definition_append_only BEFORE DELETE OR UPDATE ON playlog.definition FOR EACH ROW EXECUTE FUNCTION playlog.refuse_change();

CREATE TRIGGER event_append_only BEFORE DELETE OR UPDATE ON playlog.event FOR EACH ROW EXECUTE FUNCTION playlog.refuse_change();
CREATE TRIGGER event_no_truncate BEFORE TRUNCATE ON playlog.event FOR EACH STATEMENT EXECUTE FUNCTION playlog.refuse_change();
