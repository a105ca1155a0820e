-- name: oldest
-- Rows that another node is taking in are passed over.
SELECT n, id, v, kind, payload, queue, priority, delay_ms, run_at, unique_key, unique_within_ms, idempotency_key, tags,
    attributes
FROM stepwell.stepwell_inbox ORDER BY n LIMIT $1 FOR UPDATE SKIP LOCKED

-- name: delete
DELETE FROM stepwell.stepwell_inbox WHERE n = ANY($1)

-- name: done
-- A second row with the same id cannot unmake what the first one made.
INSERT INTO stepwell.inbox_done AS done (id, job_id, error, idempotency_key, at) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (id) DO UPDATE SET job_id = excluded.job_id, error = excluded.error,
    idempotency_key = excluded.idempotency_key, at = excluded.at
WHERE done.job_id IS NULL

-- name: made
SELECT job_id FROM stepwell.inbox_done WHERE id = $1 AND job_id IS NOT NULL

-- name: job_of_key
SELECT job_id FROM stepwell.inbox_done WHERE idempotency_key = $1 AND job_id IS NOT NULL ORDER BY at LIMIT 1

-- name: outcome
SELECT job_id, error FROM stepwell.inbox_done WHERE id = $1

-- name: prune_done
DELETE FROM stepwell.inbox_done WHERE id IN (SELECT id FROM stepwell.inbox_done WHERE at <= $1 ORDER BY at LIMIT $2)
