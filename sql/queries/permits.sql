-- name: lock
-- Lock, in one order, the given keys and those of commands that are to be closed, or wait in executions that
-- are resumed; returns these keys.
-- Keys share 1,024 locks, so that no transaction fills the server's table of locks.
with touched as materialized (
    select concurrency_key from unnest($1::text[]) as wanted (concurrency_key)
    union
    select concurrency_key from playlog.command
    where command_id = any($2::bigint[]) and concurrency_key is not null
    union
    select concurrency_key from playlog.command
    where execution_id = any($3::bigint[]) and concurrency_key is not null and state = 'held'
), locked as materialized (
    select pg_advisory_xact_lock(hashtext('playlog.permits'), place)
    from (select distinct hashtext(concurrency_key) & 1023 as place from touched order by place) as ordered
)
select concurrency_key from touched where (select count(*) from locked) > 0

-- name: lines
-- Of each key: how many open commands hold permits, the longest-holding ones and the first in line, without
-- those that are to be closed, and in line only those whose executions are not paused: $4 are being resumed,
-- $5 are being paused. One more is shown than there are permits for, as somebody then has to wait.
with line as materialized (
    select k.concurrency_key, k.cancelling,
        (
            select count(*) from playlog.command c
            where c.concurrency_key = k.concurrency_key and c.permitted and c.state <> 'closed'
                and c.command_id <> all($3::bigint[])
        ) as holding,
        (
            select c.concurrency_limit from playlog.command c
            where c.concurrency_key = k.concurrency_key and c.state = 'held' and not c.permitted
                and (not c.paused or c.execution_id = any($4::bigint[]))
                and c.execution_id <> all($5::bigint[]) and c.command_id <> all($3::bigint[])
            order by c.priority desc, c.available_at, c.command_id
            limit 1
        ) as first_limit
    from unnest($1::text[], $2::integer[]) as k (concurrency_key, cancelling)
)
select l.concurrency_key, l.holding, a.*
from line l
left join lateral (
    (
        select false as is_waiting, c.command_id, c.execution_id, c.step, c.item, c.attempt, c.priority,
            c.available_at, c.concurrency_limit, c.pool
        from playlog.command c
        where c.concurrency_key = l.concurrency_key and c.permitted and c.state <> 'closed'
            and c.command_id <> all($3::bigint[])
        order by c.available_at, c.command_id
        limit l.cancelling
    )
    union all
    select first.* from (
        select true, c.command_id, c.execution_id, c.step, c.item, c.attempt, c.priority,
            c.available_at, c.concurrency_limit, c.pool
        from playlog.command c
        where c.concurrency_key = l.concurrency_key and c.state = 'held' and not c.permitted
            and (not c.paused or c.execution_id = any($4::bigint[]))
            and c.execution_id <> all($5::bigint[]) and c.command_id <> all($3::bigint[])
        order by c.priority desc, c.available_at, c.command_id
        limit 1000
    ) as first
    limit greatest(l.first_limit - l.holding, 0) + 1
) as a on true
