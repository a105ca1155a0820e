-- name: look
-- Which log it is and how far it goes, whether somebody put something into the inbox, whether commits wait for a standby,
-- and how often something was wanted of the sessions that there are.
SELECT meta.generation, meta.generation_n, head.next_pos - 1, stepwell.timeline(), meta.timeline, meta.timeline_pos,
    meta.is_awaited, meta.sealed, EXISTS (SELECT 1 FROM stepwell.stepwell_inbox),
    current_setting('synchronous_standby_names') <> '',
    (SELECT coalesce(sum(desired_n), 0)::bigint FROM stepwell.session)
FROM stepwell.meta meta CROSS JOIN stepwell.log_head head

-- name: tell
SELECT pg_notify($1, $2)
