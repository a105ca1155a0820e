-- name: hold
-- One node takes in at a time. Of two rows with one idempotency key, taken by two nodes, each would become a job.
SELECT pg_try_advisory_xact_lock(hashtextextended('stepwell.inbox', 0))

-- name: oldest
-- What is longer than it may be ($2 bytes for a name or a key, $3 for the rest) stays where it is, and only its length
-- is read: nobody checks what applications insert, and a row of a gigabyte must not hold up the others.
SELECT n,
    CASE WHEN octet_length(id) <= $2 THEN id END AS id,
    v,
    CASE WHEN octet_length(kind) <= $2 THEN kind END AS kind,
    CASE WHEN octet_length(payload) <= $3 THEN payload END AS payload,
    CASE WHEN octet_length(queue) <= $2 THEN queue END AS queue,
    priority, delay_ms, run_at,
    CASE WHEN octet_length(unique_key) <= $3 THEN unique_key END AS unique_key,
    unique_within_ms,
    CASE WHEN octet_length(idempotency_key) <= $2 THEN idempotency_key END AS idempotency_key,
    CASE WHEN octet_length(tags) <= $3 THEN tags END AS tags,
    CASE WHEN octet_length(attributes) <= $3 THEN attributes END AS attributes,
    octet_length(id), octet_length(kind), octet_length(payload), octet_length(queue), octet_length(unique_key),
    octet_length(idempotency_key), octet_length(tags), octet_length(attributes)
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
