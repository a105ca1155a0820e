-- name: insert
INSERT OR FAIL INTO sw_event (last_pos, n, job_key, kind, queue, last_job_seq, run, at, types, prev_pos, job_uuid, data)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: after
SELECT last_pos, n, job_uuid, kind, queue, last_job_seq, run, at, types, prev_pos, data
FROM sw_event WHERE last_pos > ?1 ORDER BY last_pos LIMIT ?2

-- name: at
SELECT last_pos, n, job_uuid, kind, queue, last_job_seq, run, at, types, prev_pos, data
FROM sw_event WHERE last_pos = ?1

-- name: before
SELECT prev_pos FROM sw_event WHERE last_pos = ?1

-- name: last_of
SELECT last_event_pos FROM sw_job WHERE uuid = ?1

-- name: oldest
SELECT last_pos, n, at FROM sw_event ORDER BY last_pos LIMIT ?1

-- name: prune
DELETE FROM sw_event WHERE last_pos <= ?1

-- name: walk
-- Ends of runs, with what became of the job since: gone, set going again, or still as it ended then. The window bounds how
-- many rows are looked at.
SELECT event.last_pos, event.at, event.run, job.key, job.state, job.finished_at, job.run
FROM sw_event event LEFT JOIN sw_job job ON job.key = event.job_key
WHERE event.last_pos > ?1 AND event.last_pos <= ?2 AND event.types & ?3 <> 0
ORDER BY event.last_pos

-- name: lowest_cursor
SELECT min(pos) FROM sw_cursor
