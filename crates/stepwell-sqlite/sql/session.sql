-- name: insert
INSERT INTO sw_session (n, id, slot, pid, node, started_at, kinds, queues, about)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)

-- name: update
UPDATE sw_session SET node = ?2, kinds = ?3, queues = ?4, about = ?5 WHERE id = ?1

-- name: free_slot
-- The lowest slot of the side file that no session has.
SELECT min(slot) FROM (
    SELECT 0 AS slot WHERE NOT EXISTS (SELECT 1 FROM sw_session WHERE slot = 0)
    UNION ALL
    SELECT taken.slot + 1 FROM sw_session taken
    WHERE NOT EXISTS (SELECT 1 FROM sw_session next WHERE next.slot = taken.slot + 1)
)

-- name: is_alive
SELECT EXISTS (SELECT 1 FROM sw_session WHERE id = ?1 AND dead = 0)

-- name: n_of
SELECT n FROM sw_session WHERE id = ?1

-- name: id_of
SELECT id FROM sw_session WHERE n = ?1

-- name: live
SELECT id, node, started_at, kinds, queues, about FROM sw_session WHERE dead = 0 ORDER BY n

-- name: nodes
SELECT id, node, started_at, kinds, queues, about, state, desired, slot, dead,
    (SELECT count(*) FROM sw_job WHERE session = sw_session.n)
FROM sw_session ORDER BY n

-- name: tell
UPDATE sw_session SET state = ?2 WHERE id = ?1 AND dead = 0 AND state <> ?2

-- name: desired
SELECT desired FROM sw_session WHERE id = ?1 AND dead = 0

-- name: want
UPDATE sw_session SET desired = ?2 WHERE id = ?1

-- name: wanted
SELECT id, desired FROM sw_session WHERE dead = 0

-- name: all
SELECT id, slot, node, dead FROM sw_session ORDER BY n

-- name: bury
UPDATE sw_session SET dead = 1 WHERE id = ?1

-- name: delete_if_idle
-- A session goes when it owns nothing: a job whose session is unknown could never be reaped.
DELETE FROM sw_session WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM sw_job WHERE session = sw_session.n)

-- name: owners
-- All sessions, with how many jobs each owns.
SELECT session.id, session.slot, session.node, session.started_at,
       (SELECT count(*) FROM sw_job WHERE sw_job.session = session.n)
FROM sw_session session
