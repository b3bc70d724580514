-- name: store
-- Lines of tools; a line that is there already stays as it is.
insert into playlog.step_log (execution_id, command_id, seq, step, attempt, stream, line, logged_at)
select * from unnest($1::bigint[], $2::bigint[], $3::integer[], $4::text[], $5::integer[], $6::text[],
    $7::text[], $8::timestamptz[])
on conflict (execution_id, command_id, seq) do nothing
returning seq
