WITH next AS (
    SELECT id FROM job WHERE state = 0 AND queue = 1 AND run_at <= $1
    ORDER BY priority, run_at, id LIMIT $2 FOR UPDATE SKIP LOCKED
), claimed AS (
    UPDATE job SET state = 1, owner = 1, token = gen_random_uuid(), epoch = epoch + 1, attempt = attempt + 1,
        phases = $3, next_seq = next_seq + 2
    FROM next WHERE job.id = next.id RETURNING job.id, job.epoch, job.token
), told AS (
    INSERT INTO event (job, job_seq, kind, at, data)
    SELECT id, 2, 1, $1, '["job:started","job:phase:started"]' FROM claimed
)
SELECT claimed.id, claimed.epoch, claimed.token::text, payload.body
FROM claimed JOIN payload ON payload.job = claimed.id
