-- name: next
-- Seconds until the next timer, lease or delivery is due; null where there is none.
select
    extract(epoch from (select min(due_at) from playlog.timer) - clock_timestamp())::double precision as timer,
    extract(epoch from (select min(leased_until) from playlog.command where state = 'claimed')
        - clock_timestamp())::double precision as lease,
    extract(epoch from (select min(available_at) from playlog.delivery) - clock_timestamp()
        + interval '1 second')::double precision as delivery
