-- What readiness asks the server about itself.

-- name: alive
-- Answers when the server does.
select 1;

-- name: unsafe_settings
-- Names the settings that let an acknowledged commit be lost.
select name
from pg_catalog.pg_settings
where name in ('fsync', 'full_page_writes', 'synchronous_commit') and setting = 'off'
order by name;
