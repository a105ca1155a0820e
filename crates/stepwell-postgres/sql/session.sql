-- name: insert
INSERT INTO stepwell.session (id, node, started_at, expires_at, kinds, queues, about, beat_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)

-- name: update
UPDATE stepwell.session SET
    node = $2, expires_at = greatest(expires_at, $3), kinds = $4, queues = $5, about = $6, beat_at = $7
WHERE id = $1

-- name: tell
UPDATE stepwell.session SET state = $2 WHERE id = $1 AND NOT dead AND state <> $2

-- name: desired
SELECT desired FROM stepwell.session WHERE id = $1 AND NOT dead FOR NO KEY UPDATE

-- name: want
UPDATE stepwell.session SET desired = $2, desired_n = desired_n + 1 WHERE id = $1

-- name: wanted
SELECT id, desired FROM stepwell.session WHERE NOT dead

-- name: is_dead
SELECT dead FROM stepwell.session WHERE id = $1 FOR UPDATE

-- name: beat
-- Never touches a session that was found dead: that is final.
UPDATE stepwell.session SET expires_at = greatest(expires_at, $2), beat_at = $3 WHERE id = $1 AND NOT dead

-- name: is_alive
-- The lock keeps a session from being found dead while it claims. Beats do not need it, and are not held up by it.
SELECT 1 FROM stepwell.session WHERE id = $1 AND NOT dead FOR KEY SHARE

-- name: live
SELECT id, node, started_at, kinds, queues, about FROM stepwell.session WHERE NOT dead ORDER BY n

-- name: nodes
SELECT id, node, started_at, kinds, queues, about, state, desired, beat_at, dead OR expires_at <= $1,
    (SELECT count(*) FROM stepwell.job WHERE job.session = session.id)
FROM stepwell.session session ORDER BY n

-- name: all
SELECT id, node, expires_at, dead FROM stepwell.session ORDER BY n

-- name: lock
-- Waits for whoever claims for the session at this moment.
SELECT expires_at, dead FROM stepwell.session WHERE id = $1 FOR UPDATE

-- name: bury
UPDATE stepwell.session SET dead = true WHERE id = $1

-- name: delete_if_idle
-- A session goes when it owns nothing. It was found dead in an earlier statement: that one has waited for whoever was
-- claiming for it, and this one sees what they claimed.
DELETE FROM stepwell.session WHERE id = $1 AND dead AND NOT EXISTS (SELECT 1 FROM stepwell.job WHERE session = $1)

-- name: missing
-- Owners of jobs that have no row, which should not be. One step of the index for each owner, however much it owns.
WITH RECURSIVE owner AS (
    SELECT (SELECT session FROM stepwell.job WHERE session IS NOT NULL ORDER BY session LIMIT 1) AS id
    UNION ALL
    SELECT (SELECT session FROM stepwell.job WHERE session > owner.id ORDER BY session LIMIT 1)
    FROM owner WHERE owner.id IS NOT NULL
)
SELECT owner.id FROM owner
WHERE owner.id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM stepwell.session session WHERE session.id = owner.id)

-- name: late
-- Those that should have given a sign of life, with how many jobs each owns.
SELECT session.node, session.expires_at, (SELECT count(*) FROM stepwell.job WHERE job.session = session.id)
FROM stepwell.session session WHERE session.expires_at < $1
