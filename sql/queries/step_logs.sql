-- name: store
-- Lines of tools; a line that is there already stays as it is. Returns the new ones' transaction.
insert into playlog.step_log (execution_id, command_id, seq, step, attempt, stream, line, logged_at)
select * from unnest($1::bigint[], $2::bigint[], $3::integer[], $4::text[], $5::integer[], $6::text[],
    $7::text[], $8::timestamptz[])
on conflict (execution_id, command_id, seq) do nothing
returning execution_id, arrived::text::bigint as arrived

-- name: after
-- Lines after a place, in the order in which they arrived, of some step and attempt or all; with how it stands.
-- A line waits while an older transaction runs, whose lines would come before it. One that is newer than every
-- transaction was restored from elsewhere.
select h.status, h.ended_seconds, h.is_waiting, l.*
from (
    select e.status, extract(epoch from clock_timestamp() - e.ended_at)::float8 as ended_seconds,
        exists (
            select from playlog.step_log w
            where w.execution_id = e.execution_id and w.arrived >= pg_snapshot_xmin(pg_current_snapshot())
                and w.arrived < pg_snapshot_xmax(pg_current_snapshot())
        ) as is_waiting
    from playlog.execution e
    where e.execution_id = $1
        and not exists (
            select from playlog.retention r
            where r.kind = 'purged' and r.low_id <= e.execution_id and r.high_id > e.execution_id
        )
) h
left join lateral (
    select w.arrived::text::bigint as arrived, w.command_id, w.seq, w.step, w.attempt, w.stream, w.line,
        w.logged_at
    from (
        select p.*, sum(octet_length(p.line)) over (
            order by p.arrived, p.command_id, p.seq rows between unbounded preceding and 1 preceding
        ) as bytes_before
        from (
            select * from playlog.step_log s
            where s.execution_id = $1 and (s.arrived, s.command_id, s.seq) > ($2::bigint::text::xid8, $3, $4)
                and (s.arrived < pg_snapshot_xmin(pg_current_snapshot())
                    or s.arrived >= pg_snapshot_xmax(pg_current_snapshot()))
                and ($5::text is null or s.step = $5) and ($6::integer is null or s.attempt = $6)
            order by s.arrived, s.command_id, s.seq
            limit $7
        ) p
    ) w
    where coalesce(w.bytes_before, 0) < $8
) l on true
order by l.arrived, l.command_id, l.seq
