-- name: faults
-- What is wrong with the file itself; one row that says ok if nothing is.
PRAGMA integrity_check(100)

-- name: is_stepwell
SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'sw_meta')

-- name: miscounted
-- Counters that are not what they count.
WITH counted AS (SELECT queue, kind, state, count(*) AS n FROM sw_job GROUP BY queue, kind, state)
SELECT count(*) FROM counted FULL JOIN sw_counter USING (queue, kind, state)
WHERE coalesce(counted.n, 0) <> coalesce(sw_counter.n, 0)

-- name: without_payload
SELECT count(*) FROM sw_job LEFT JOIN sw_payload ON sw_payload.job_key = sw_job.key WHERE sw_payload.job_key IS NULL

-- name: copy
-- A copy of one moment, whatever is written meanwhile.
VACUUM INTO ?1

-- name: compact
VACUUM

-- name: move_all_of_log
-- Only then the file is shorter. Waits for those who read.
PRAGMA wal_checkpoint(TRUNCATE)

-- name: begin_another_log
-- Whoever followed the log of the store that was copied must not take this one for it.
UPDATE sw_meta SET generation = ?1, sealed = 0

-- name: knows_copies
SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'sw_copy')

-- name: is_part_of_copy
SELECT EXISTS (SELECT 1 FROM sw_copy WHERE is_source = 0)

-- name: forget_copy
-- A backup of a store that was sealed is not.
DELETE FROM sw_copy;
DROP TRIGGER IF EXISTS stepwell_inbox_sealed
