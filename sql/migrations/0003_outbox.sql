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
    constraint outbox_lease check ((lease_token is null) = (leased_until is null)),
    constraint outbox_state check ((attempts > 0) = (lease_token is not null or first_failed_at is not null))
);
comment on table playlog.outbox is 'messages waiting to be published; a published row is deleted';
comment on column playlog.outbox.attempts is
    '0 until it was leased or failed for the first time; from then on it can hold back its execution';
-- Each row is in exactly one of the first three; a plan that reads the other rows of its shard cannot be made.
create index outbox_fresh on playlog.outbox (shard, outbox_id) where attempts = 0;
create index outbox_leased on playlog.outbox (shard, leased_until, outbox_id) where lease_token is not null;
create index outbox_parked on playlog.outbox (shard, available_at, outbox_id)
    where first_failed_at is not null and lease_token is null;
create index outbox_tried on playlog.outbox (execution_id, outbox_id) where attempts > 0;

create function playlog.due_outbox() returns setof playlog.outbox
language sql stable
as $$
    select o.*
    from playlog.outbox o
    where o.available_at <= (select clock_timestamp())
        and (o.leased_until is null or o.leased_until <= (select clock_timestamp()))
        and not exists (
            select from playlog.outbox held
            where held.attempts > 0 and held.execution_id = o.execution_id and held.outbox_id < o.outbox_id
                and (held.available_at > clock_timestamp() or held.leased_until > clock_timestamp())
        )
$$;
comment on function playlog.due_outbox is
    'what may be published now: a leased or parked message holds back itself and the later ones of its execution';

create function playlog.due_of_shard(of_shard smallint, most integer) returns setof playlog.outbox
language sql stable
as $$
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
$$;
comment on function playlog.due_of_shard is
    'due messages of a shard: new ones, ones whose lease ran out, ones whose backoff is over; so many of each';

create function playlog.due_messages(shards smallint[], most integer)
returns table (outbox_id bigint, execution_id bigint)
language sql stable
as $$
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
$$;
comment on function playlog.due_messages is
    'due messages of shards, so many of each kind; none whose execution has an earlier one that is left out';

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
create index delivery_failing on playlog.delivery (delivery_id) where attempts >= 5;
