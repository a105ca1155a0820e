-- name: read
SELECT next_pos, floor_pos, next_job_key, walk_pos, clock, sealed FROM sw_meta

-- name: write
UPDATE sw_meta SET next_pos = ?1, floor_pos = ?2, next_job_key = ?3, walk_pos = ?4, clock = ?5

-- name: create
INSERT INTO sw_meta (one, generation, next_pos, floor_pos, next_job_key, walk_pos, clock) VALUES (1, ?1, 1, 1, 1, 0, ?2)

-- name: generation
SELECT generation FROM sw_meta

-- name: count
INSERT INTO sw_counter (queue, kind, state, n) VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (queue, kind, state) DO UPDATE SET n = n + excluded.n

-- name: count_of_state
SELECT coalesce(sum(n), 0) FROM sw_counter WHERE state = ?1

-- name: counts
SELECT queue, kind, state, n FROM sw_counter WHERE n <> 0

-- name: running_in_queue
SELECT coalesce(sum(n), 0) FROM sw_counter WHERE queue = ?1 AND state IN (1, 2)

-- name: waiting_kinds
SELECT kind FROM sw_counter WHERE queue = ?1 AND state = 0 AND n > 0

-- name: name_id
SELECT id FROM sw_name WHERE name = ?1

-- name: name_of
SELECT name FROM sw_name WHERE id = ?1

-- name: insert_name
INSERT INTO sw_name (name) VALUES (?1)

-- name: look_at_log
-- How many pages the write-ahead log has, and how many of them were moved into the file. It moves none.
PRAGMA wal_checkpoint(NOOP)

-- name: move_log
-- Waits for nobody.
PRAGMA wal_checkpoint(PASSIVE)
