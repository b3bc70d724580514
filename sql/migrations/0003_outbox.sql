-- The outbox: one message per append per execution, owned shard by shard.

create table playlog.shard (
    shard smallint not null,
    last_pass_at timestamptz not null default '-infinity',
    stream_created text,
    last_seq bigint not null default 0,
    safe_at timestamptz,
    generation integer not null default 1,
    refill_after bigint,
    safe_seq bigint not null default 0,
    published_at timestamptz,
    refill_from timestamptz,
    server text,
    constraint shard_pk primary key (shard),
    constraint shard_range check (shard between 0 and 15),
    constraint shard_refill check ((refill_after is null) = (refill_from is null))
) with (fillfactor = 50);
comment on column playlog.shard.refill_after is
    'while a refill is unfinished: the last execution_id it has published; null otherwise';
comment on column playlog.shard.safe_at is
    'events of the shard recorded before this lie at or before safe_seq in the stream';
comment on column playlog.shard.published_at is 'when the stream last acknowledged something';
comment on column playlog.shard.refill_from is
    'while a refill is unfinished: executions that recorded something since then are published again';
comment on column playlog.shard.server is
    'system identifier and timeline of the PostgreSQL from which was published';
insert into playlog.shard (shard) select generate_series(0, 15);

create table playlog.outbox (
    outbox_id bigint generated always as identity,
    shard smallint not null,
    execution_id bigint not null,
    first_version integer not null,
    last_version integer not null,
    event_id bigint not null,
    subject text not null,
    payload text not null,
    traceparent text,
    attempts integer not null default 0,
    available_at timestamptz not null default clock_timestamp(),
    lease_token bigint,
    leased_until timestamptz,
    first_failed_at timestamptz,
    last_error text,
    created_at timestamptz not null default clock_timestamp(),
    constraint outbox_pk primary key (outbox_id),
    constraint outbox_versions check (last_version >= first_version and first_version >= 1),
    constraint outbox_lease check ((lease_token is null) = (leased_until is null))
);
comment on table playlog.outbox is 'messages waiting to be published; a published row is deleted';
create index outbox_shard on playlog.outbox (shard, outbox_id);
create index outbox_held on playlog.outbox (execution_id, outbox_id)
    where lease_token is not null or first_failed_at is not null;

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
    created_at timestamptz not null,
    died_at timestamptz not null default clock_timestamp(),
    constraint outbox_dead_pk primary key (outbox_id)
);
create index outbox_dead_execution on playlog.outbox_dead (execution_id);

create table playlog.delivery (
    delivery_id bigint generated always as identity,
    target_execution_id bigint not null,
    kind text not null,
    event_id bigint not null,
    payload json not null,
    attempts integer not null default 0,
    available_at timestamptz not null default clock_timestamp(),
    created_at timestamptz not null default clock_timestamp(),
    constraint delivery_pk primary key (delivery_id),
    constraint delivery_target_event_key unique (target_execution_id, event_id)
);
comment on table playlog.delivery is 'messages of one execution to another, written in the deciding transaction';
create index delivery_due on playlog.delivery (available_at);
