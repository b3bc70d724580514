-- Read-only views for people and reporting tools. Their columns are an interface: they are only added to;
-- what would break a query of somebody else's gets a new name, such as v_step_2, beside the old one.

create function playlog.views_version() returns integer
language sql immutable parallel safe
as $$ select 1 $$;
comment on function playlog.views_version is 'raised whenever a view or a column of one is added';

create function playlog.moment_of(said text) returns timestamptz
language sql stable strict parallel safe
as $$
    select case
        when said ~ ('^(19[7-9]|2\d\d)\d-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])T([01]\d|2[0-3]):[0-5]\d:[0-5]\d'
            || '(\.\d{1,9})?(Z|[+-](0\d|1[0-4]):[0-5]\d)$')
        then (overlay(said placing '01' from 9 for 2))::timestamptz
            + make_interval(hours => 24 * (substr(said, 9, 2)::integer - 1))
    end
$$;
comment on function playlog.moment_of is
    'a time as a producer wrote it, null for any other text, and never an error: 30 February is 2 March';

create function playlog.bits_of(hex text) returns integer
language sql immutable parallel safe
as $$ select coalesce(bit_count(decode(repeat('0', length(hex) % 2) || hex, 'hex')), 0)::integer $$;
comment on function playlog.bits_of is 'how many bits are set in a number in hexadecimal; 0 for null';

create function playlog.open_units(state json)
returns table (step text, item integer, undoing boolean, unit json, waiting json, began timestamptz,
    retry_at timestamptz, place text, total integer, next integer, failed integer, dropped integer, open integer)
language sql stable parallel safe
as $$
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
$$;
comment on function playlog.open_units is
    'what is open in the state of a snapshot, one row a step: its attempts, those of its undoing, or of the item '
    'that is open longest';

create view playlog.v_event as
select v.execution_id, v.version, v.event_id, v.event_type, v.step, v.item, v.attempt, v.status, v.payload,
    v.meta, v.command_id, v.causation_id, v.traceparent, v.created_at, v.recorded_at
from playlog.event v;
comment on view playlog.v_event is
    'the event log; ask for an execution_id, or for a range of them, to read little of it';

create view playlog.v_execution as
select e.execution_id, e.path as playbook, e.playbook_version, e.status, coalesce(s.labels, '{}') as labels, s.state ->> 'key' as key, e.pool, e.priority,
    e.parent_id, s.state -> 'parent' ->> 'step' as parent_step,
    encode(e.definition_hash, 'hex') as definition_hash, s.started_at, e.ended_at, e.deadline,
    extract(epoch from coalesce(e.ended_at, now()) - s.started_at)::double precision as duration_seconds,
    (
        select coalesce(v.payload -> 'error', v.payload -> 'data') ->> 'code'
        from playlog.event v where v.execution_id = s.execution_id and v.version = s.error_version
    ) as error_code,
    (
        select coalesce(v.payload -> 'error', v.payload -> 'data') ->> 'message'
        from playlog.event v where v.execution_id = s.execution_id and v.version = s.error_version
    ) as error_message,
    s.state ->> 'reason' as reason, s.output_version, s.error_version,
    e.version, e.recorded_at, coalesce(s.version, 0) as snapshot_version, s.projected_at
from playlog.execution e
left join playlog.snapshot s on s.execution_id = e.execution_id
where not exists (
    select from playlog.retention r
    where r.kind = 'purged' and r.low_id <= e.execution_id and r.high_id > e.execution_id
);
comment on view playlog.v_execution is
    'one row an execution; what the projection tells is null or older while snapshot_version < version';
comment on column playlog.v_execution.version is 'how many events the log holds of it';
comment on column playlog.v_execution.duration_seconds is 'from its start to its end, or until now';
comment on column playlog.v_execution.definition_hash is 'null: the execution of another system, only recorded';

create view playlog.v_step as
select s.execution_id, s.path as playbook, s.playbook_version, t.step, t.told ->> 'status' as status,
    coalesce((t.told ->> 'attempt')::integer, 0) as attempts,
    coalesce((t.told ->> 'failures')::integer, 0) as failures,
    coalesce((t.told ->> 'lost')::integer, 0) as lost,
    coalesce((t.told ->> 'visits')::integer, 0) + 1 as visits,
    (t.told ->> 'started_at')::timestamptz as started_at,
    (t.told ->> 'ended_at')::timestamptz as ended_at,
    extract(epoch from coalesce((t.told ->> 'ended_at')::timestamptz, s.ended_at, now())
        - (t.told ->> 'started_at')::timestamptz)::double precision as duration_seconds,
    (t.told -> 'output' ->> 0)::integer as output_version,
    (t.told -> 'output' ->> 1)::bigint as output_bytes,
    (t.told -> 'error' ->> 0)::integer as error_version,
    (
        select coalesce(v.payload -> 'error', v.payload -> 'data') ->> 'code'
        from playlog.event v
        where v.execution_id = s.execution_id and v.version = (t.told -> 'error' ->> 0)::integer
    ) as error_code,
    t.told ->> 'handled' as handled, t.told ->> 'skip_reason' as skip_reason, t.told ->> 'undone' as undone,
    (t.told ->> 'child_id')::bigint as child_id,
    case when t.told -> 'map' is not null then coalesce((t.told -> 'map' ->> 'total')::integer, 0) end
        as items_total,
    case when t.told -> 'map' is not null then playlog.bits_of(t.told -> 'map' ->> 'failed') end
        as items_failed
from playlog.snapshot s
cross join lateral json_each(s.state -> 'steps') as t (step, told)
where not exists (
    select from playlog.retention r
    where r.kind = 'purged' and r.low_id <= s.execution_id and r.high_id > s.execution_id
);
comment on view playlog.v_step is
    'one row a step that has begun or was skipped, as the last snapshot of its execution tells';
comment on column playlog.v_step.attempts is 'tries begun; of the items of a map v_attempt tells';
comment on column playlog.v_step.output_version is 'the version in v_event whose payload carries the output';
comment on column playlog.v_step.duration_seconds is 'from its start to its end, or until now';

create view playlog.v_attempt as
select a.execution_id, e.path as playbook, e.playbook_version, a.step, a.item, a.attempt, a.undoing,
    a.command_id, a.tool, a.pool,
    coalesce(a.status,
        case c.state when 'claimed' then 'running' when 'pending' then 'queued' when 'held' then 'held' end,
        'cancelled') as status,
    coalesce(a.worker, case when c.state = 'claimed' then c.worker_id end) as worker,
    a.issued_at, a.available_at, t.started_at, t.ended_at,
    greatest(extract(epoch from coalesce(t.started_at, t.ended_at, now()) - a.available_at), 0)::double precision
        as queue_seconds,
    greatest(extract(epoch from coalesce(t.ended_at, now()) - t.started_at), 0)::double precision as run_seconds,
    a.error_code, a.error_message
from (
    select v.execution_id, v.command_id,
        max(v.step) filter (where v.event_type = 'command.issued') as step,
        max(v.item) filter (where v.event_type = 'command.issued') as item,
        max(v.attempt) filter (where v.event_type = 'command.issued') as attempt,
        coalesce(bool_or(v.payload ->> 'undoing' = 'true') filter (where v.event_type = 'command.issued'), false)
            as undoing,
        max(v.payload ->> 'tool') filter (where v.event_type = 'command.issued') as tool,
        max(v.payload ->> 'pool') filter (where v.event_type = 'command.issued') as pool,
        max(v.recorded_at) filter (where v.event_type = 'command.issued') as issued_at,
        max(coalesce(playlog.moment_of(v.payload ->> 'available_at'), v.recorded_at))
            filter (where v.event_type = 'command.issued') as available_at,
        max(coalesce(v.meta ->> 'worker_id', v.payload ->> 'worker_id'))
            filter (where v.event_type <> 'command.issued') as worker,
        max(playlog.moment_of(v.payload ->> 'claimed_at')) filter (where v.event_type = 'command.claimed')
            as claimed_at,
        max(playlog.moment_of(v.meta ->> 'started_at'))
            filter (where v.event_type in ('command.completed', 'command.failed')) as started_at,
        max(v.recorded_at) filter (where v.event_type not in ('command.issued', 'command.claimed')) as ended_at,
        max(case v.event_type when 'concurrency.rejected' then 'rejected' else substr(v.event_type, 9) end)
            filter (where v.event_type not in ('command.issued', 'command.claimed')) as status,
        max(coalesce(v.payload -> 'error', v.payload -> 'data') ->> 'code')
            filter (where v.event_type not in ('command.issued', 'command.claimed', 'command.completed'))
            as error_code,
        max(coalesce(v.payload -> 'error', v.payload -> 'data') ->> 'message')
            filter (where v.event_type not in ('command.issued', 'command.claimed', 'command.completed'))
            as error_message
    from playlog.event v
    where v.command_id is not null and v.event_type in ('command.issued', 'command.claimed', 'command.completed',
        'command.failed', 'command.expired', 'command.cancelled', 'concurrency.rejected')
    group by v.execution_id, v.command_id
    having bool_or(v.event_type = 'command.issued')
) a
join playlog.execution e on e.execution_id = a.execution_id and e.definition_hash is not null
left join playlog.command c on c.command_id = a.command_id
cross join lateral (
    select coalesce(a.started_at, a.claimed_at, case when c.state = 'claimed' then c.claimed_at end) as started_at,
        coalesce(a.ended_at, c.closed_at) as ended_at
) t;
comment on view playlog.v_attempt is
    'one row a command: an attempt by a worker, of a step, an item of its map or the undoing of it';
comment on column playlog.v_attempt.available_at is 'since when a worker may take it: a retry comes with a delay';
comment on column playlog.v_attempt.queue_seconds is 'from available_at to started_at, or until now';
comment on column playlog.v_attempt.run_seconds is 'from started_at to ended_at, or until now';
comment on column playlog.v_attempt.ended_at is
    'when its end was recorded; null for one cut short by the end of its step, once its command is removed';

create view playlog.v_wait as
select s.execution_id, s.path as playbook, s.playbook_version, w.what, w.owner, w.since, w.until, w.step, w.item,
    w.undoing, w.attempt, w.not_before, w.items_total, w.items_completed, w.items_failed, w.items_open,
    w.items_left
from playlog.snapshot s
cross join lateral (
    select 'event' as what, 'outside' as owner, s.recorded_at as since, null::timestamptz as until,
        null::text as step, null::integer as item, false as undoing, null::integer as attempt,
        null::timestamptz as not_before, null::integer as items_total, null::integer as items_completed,
        null::integer as items_failed, null::integer as items_open, null::integer as items_left
    where s.definition_hash is null
    union all
    select 'resume', 'operator', (s.state ->> 'paused_at')::timestamptz, (s.state ->> 'deadline')::timestamptz,
        null, null, false, null, null, null, null, null, null, null
    where s.definition_hash is not null and s.state ->> 'paused' = 'true'
    union all
    select o.what,
        case o.what
            when 'signal' then 'signal:' || (o.waiting ->> 0)
            when 'child' then 'child:' || (o.unit ->> 'child_id')
            when 'moment' then 'timer'
            when 'retry' then 'timer'
            when 'claim' then case when s.state ->> 'paused' = 'true' then 'operator' else o.pool end
            else o.pool
        end,
        coalesce((o.unit ->> 'since')::timestamptz, o.began),
        least((o.waiting ->> 1)::timestamptz, (o.unit ->> 'until')::timestamptz, o.retry_at,
            (s.state -> 'timers' ->> (o.place || ':deadline'))::timestamptz,
            (s.state ->> 'deadline')::timestamptz),
        o.step, o.item, o.undoing,
        case when o.waiting is null then coalesce((o.unit ->> 'attempt')::integer, 0) end,
        (o.unit ->> 'not_before')::timestamptz,
        o.total, o.next - o.open - o.failed - o.dropped, o.failed, o.open, o.total - o.next
    from (
        select t.*, 'pool:' || coalesce(t.unit ->> 'pool', s.state ->> 'pool') as pool,
            case
                when t.waiting is not null then case when t.waiting ->> 0 is null then 'moment' else 'signal' end
                when t.unit ->> 'command_id' is not null
                    then case when t.unit ->> 'claimed' = 'true' then 'result' else 'claim' end
                when s.state -> 'children' -> (t.unit ->> 'child_id') is not null then 'child'
                when t.retry_at is not null then 'retry'
            end as what
        from playlog.open_units(s.state) t
    ) o
    where s.definition_hash is not null and o.what is not null
) w
where s.ended_at is null and not exists (
    select from playlog.retention r
    where r.kind = 'purged' and r.low_id <= s.execution_id and r.high_id > s.execution_id
);
comment on view playlog.v_wait is
    'what each live execution waits for, as its last snapshot tells: since when, until when, who moves next';
comment on column playlog.v_wait.owner is 'pool:<name>, child:<id>, signal:<name>, timer, operator or outside';
comment on column playlog.v_wait.until is 'the first moment at which something happens by itself';
comment on column playlog.v_wait.item is 'of a map: the item that is open longest';

create view playlog.v_signal as
select s.execution_id, s.path as playbook, s.playbook_version, m.name, (p.place ->> 0)::integer as version,
    (p.place ->> 1)::bigint as bytes,
    (
        select v.recorded_at from playlog.event v
        where v.execution_id = s.execution_id and v.version = (p.place ->> 0)::integer
    ) as received_at
from playlog.snapshot s
cross join lateral json_each(s.state -> 'mailbox') as m (name, queue)
cross join lateral json_array_elements(m.queue) as p (place)
where s.ended_at is null and not exists (
    select from playlog.retention r
    where r.kind = 'purged' and r.low_id <= s.execution_id and r.high_id > s.execution_id
);
comment on view playlog.v_signal is 'signals that no step has taken yet, by live execution';
comment on column playlog.v_signal.version is 'the version in v_event whose payload carries the data';

create view playlog.v_incident as
select i.incident_id, i.kind, i.execution_id, i.subject, i.detail, i.opened_at, i.seen_at, i.resolved_at
from playlog.incident i;
comment on view playlog.v_incident is 'what is stuck or broken and wants a person; open while resolved_at is null';

-- What views call is called as the reader; everything else is for the owner alone.
revoke execute on all functions in schema playlog from public;
