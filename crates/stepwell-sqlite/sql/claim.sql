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

-- name: ahead
-- How many ready jobs of one queue and kind are claimed before one that stands at this place: three ranges of the
-- index, of which nothing is looked at that is not counted.
SELECT count(*) FROM (
    SELECT 1 FROM sw_job
    WHERE ready = 1 AND queue = ?1 AND kind = ?2 AND priority > ?3
        AND (expires_at IS NULL OR expires_at > ?6)
    UNION ALL
    SELECT 1 FROM sw_job
    WHERE ready = 1 AND queue = ?1 AND kind = ?2 AND priority = ?3 AND available_at < ?4
        AND (expires_at IS NULL OR expires_at > ?6)
    UNION ALL
    SELECT 1 FROM sw_job
    WHERE ready = 1 AND queue = ?1 AND kind = ?2 AND priority = ?3 AND available_at = ?4 AND key < ?5
        AND (expires_at IS NULL OR expires_at > ?6)
    LIMIT ?7
)

-- name: ahead_unstaged
-- The same for jobs that have become due, and that no claim has moved among the ready ones yet.
SELECT count(*) FROM (
    SELECT 1 FROM sw_job
    WHERE ready = 0 AND available_at <= ?5 AND queue = ?1 AND (expires_at IS NULL OR expires_at > ?5)
        AND (priority > ?2 OR priority = ?2 AND (available_at, key) < (?3, ?4))
    LIMIT ?6
)

-- name: place
SELECT key, queue, priority, available_at FROM sw_job WHERE uuid = ?1 AND ready IS NOT NULL
