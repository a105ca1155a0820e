-- name: stage
-- Waiting jobs whose time has come move among the ready ones, so that a claim never looks at waiting ones.
UPDATE sw_job SET ready = 1
WHERE key IN (SELECT key FROM sw_job WHERE ready = 0 AND available_at <= ?1 ORDER BY available_at LIMIT ?2)

-- name: next_due
SELECT min(available_at) FROM sw_job WHERE ready = 0

-- name: ready
-- One range of the index: one queue, one kind, already in the order of claiming. Expired jobs are left to maintenance.
-- Something is added to each parameter so that SQLite does not take its value for a reason to plan anew: it would
-- compile the statement again for every claim.
SELECT job.*, payload.body
FROM sw_job job CROSS JOIN sw_payload payload
WHERE job.ready = 1 AND job.queue = ?1 + 0 AND job.kind = ?2 + 0
    AND (job.plan_generation IS NULL OR job.plan_generation <= ?3 + 0)
    AND (job.expires_at IS NULL OR job.expires_at > ?4 + 0)
    AND payload.job_key = job.key
ORDER BY job.priority DESC, job.available_at, job.key

-- name: owned
SELECT job.* FROM sw_job job WHERE job.session = ?1 ORDER BY job.key LIMIT ?2

-- name: expired
SELECT job.* FROM sw_job job
WHERE job.expires_at <= ?1 AND job.ready IS NOT NULL ORDER BY job.expires_at, job.key LIMIT ?2

-- name: overdue
SELECT job.* FROM sw_job job WHERE job.cancel_deadline <= ?1 ORDER BY job.cancel_deadline, job.key LIMIT ?2
