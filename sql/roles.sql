-- Makes the role playlog_reader, once for all databases of the server, and lets it read the views of this one.
-- Run it as the owner of the schema, as often as needed: `python -m sql roles`.
do $$
begin
    if to_regrole('playlog_reader') is null then
        create role playlog_reader nologin;
        alter role playlog_reader set default_transaction_read_only = on;
        alter role playlog_reader set statement_timeout = '30s';
        alter role playlog_reader set idle_in_transaction_session_timeout = '60s';
    end if;
exception
    -- The migration of another database of the server makes it at the same moment.
    when duplicate_object or unique_violation then null;
    when insufficient_privilege then
        raise insufficient_privilege using
            message = 'only an administrator may make the role playlog_reader',
            hint = 'Let one run: create role playlog_reader nologin; then run this again.';
end
$$;

grant usage on schema playlog to playlog_reader;
grant select on playlog.v_execution, playlog.v_event, playlog.v_step, playlog.v_attempt, playlog.v_wait,
    playlog.v_signal, playlog.v_incident to playlog_reader;
grant execute on function playlog.views_version(), playlog.first_id_at(timestamptz), playlog.moment_of(text),
    playlog.bits_of(text), playlog.open_units(json) to playlog_reader;
