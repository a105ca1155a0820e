-- name: look
-- How far the log goes, whether somebody put something into the inbox, and how often something was wanted of the
-- sessions that there are.
SELECT head.next_pos - 1, EXISTS (SELECT 1 FROM stepwell.stepwell_inbox),
    (SELECT coalesce(sum(desired_n), 0)::bigint FROM stepwell.session)
FROM stepwell.log_head head

-- name: tell
SELECT pg_notify($1, $2)
