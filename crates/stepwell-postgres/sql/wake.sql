-- name: look
-- How far the log goes, and whether somebody put something into the inbox.
SELECT head.next_pos - 1, EXISTS (SELECT 1 FROM stepwell.stepwell_inbox) FROM stepwell.log_head head

-- name: tell
SELECT pg_notify($1, $2)
