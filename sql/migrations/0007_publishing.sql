-- Publishing: what the stream holds for sure, refills after it forgot something, messages held back.

alter table playlog.shard
    add column safe_seq bigint not null default 0,
    add column published_at timestamptz,
    add column refill_from timestamptz,
    add column server text,
    add constraint shard_refill check ((refill_after is null) = (refill_from is null));
comment on column playlog.shard.safe_at is
    'events of the shard recorded before this lie at or before safe_seq in the stream';
comment on column playlog.shard.published_at is 'when the stream last acknowledged something';
comment on column playlog.shard.refill_from is
    'while a refill is unfinished: executions that recorded something since then are published again';
comment on column playlog.shard.server is
    'system identifier and timeline of the PostgreSQL from which was published';

create index outbox_held on playlog.outbox (execution_id, outbox_id)
    where lease_token is not null or first_failed_at is not null;
