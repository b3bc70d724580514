-- Work for workers and everything that becomes due.

create table playlog.command (
    command_id bigint not null,
    execution_id bigint not null,
    step text not null,
    item integer,
    attempt integer not null,
    tool text not null,
    pool text not null,
    priority smallint not null default 0,
    state text not null default 'pending',
    paused boolean not null default false,
    input json not null,
    handles json,
    deferred json,
    timeout_seconds double precision not null,
    available_at timestamptz not null,
    deadline timestamptz,
    lease_token bigint,
    leased_until timestamptz,
    worker_id text,
    claimed_at timestamptz,
    announced_at timestamptz,
    closed_at timestamptz,
    traceparent text,
    concurrency_key text,
    concurrency_limit integer,
    permitted boolean not null default false,
    idempotency_key text,
    constraint command_pk primary key (command_id),
    constraint command_state check (state in ('pending', 'claimed', 'held', 'closed')),
    constraint command_paused check (not (paused and state = 'pending')),
    constraint command_concurrency check (
        (concurrency_key is null and concurrency_limit is null)
        or (concurrency_key is not null and concurrency_limit >= 1)),
    constraint command_permit check (concurrency_key is null or permitted or state in ('held', 'closed')),
    constraint command_lease check (
        state <> 'claimed' or (lease_token is not null and leased_until is not null and deadline is not null))
) with (fillfactor = 70);
comment on column playlog.command.handles is
    'the places in the input where a reference stands for its payload; null when there are none';
comment on column playlog.command.deferred is
    'the places in the input where an expression stands for the worker to evaluate; null when there are none';
comment on column playlog.command.deadline is 'end of the attempt, counted from its claim; no lease goes beyond it';
comment on column playlog.command.announced_at is 'when the first heartbeat recorded the claim in the log';
comment on column playlog.command.paused is
    'whether its execution is paused; state held means: paused, or waiting for a permit of its concurrency key';
comment on column playlog.command.available_at is 'since when it may be claimed, or waits for a permit';
comment on column playlog.command.concurrency_key is
    'the path of its playbook, or nothing, a colon, and the key that its step gave';
comment on column playlog.command.permitted is
    'whether it has a permit of its concurrency key, until it is closed; before that it is held';
create index command_claimable on playlog.command (pool, priority desc, available_at, command_id)
    where state = 'pending';
create index command_leased on playlog.command (leased_until) where state = 'claimed';
create index command_open on playlog.command (execution_id) where state <> 'closed';
create index command_closed on playlog.command (closed_at) where state = 'closed';
create index command_permitted on playlog.command (concurrency_key, available_at, command_id)
    where permitted and state <> 'closed';
create index command_in_line on playlog.command (concurrency_key, priority desc, available_at, command_id)
    where concurrency_key is not null and state = 'held' and not permitted;

create table playlog.timer (
    execution_id bigint not null,
    timer_key text not null,
    due_at timestamptz not null,
    constraint timer_pk primary key (execution_id, timer_key)
);
create index timer_due on playlog.timer (due_at);

create table playlog.schedule (
    schedule_id bigint not null,
    path text not null,
    playbook_version integer,
    inputs json not null default '{}',
    cron text,
    interval_seconds double precision,
    timezone text not null default 'UTC',
    overlap text not null default 'skip',
    catch_up_limit integer not null default 1,
    paused boolean not null default false,
    next_at timestamptz,
    last_at timestamptz,
    last_execution_id bigint,
    created_at timestamptz not null default clock_timestamp(),
    constraint schedule_pk primary key (schedule_id),
    constraint schedule_overlap check (overlap in ('skip', 'queue', 'cancel_running')),
    constraint schedule_cron_or_interval check ((cron is null) <> (interval_seconds is null)),
    constraint schedule_interval_positive check (interval_seconds > 0)
);
create index schedule_due on playlog.schedule (next_at) where not paused;

create table playlog.idempotency (
    scope text not null,
    idempotency_key text not null,
    request_hash bytea not null,
    execution_id bigint,
    answer json,
    created_at timestamptz not null default clock_timestamp(),
    constraint idempotency_pk primary key (scope, idempotency_key),
    constraint idempotency_hash_length check (octet_length(request_hash) = 16)
);
comment on table playlog.idempotency is
    'first answers of requests with an Idempotency-Key, and callers'' own keys of executions';
create index idempotency_created on playlog.idempotency (created_at);
