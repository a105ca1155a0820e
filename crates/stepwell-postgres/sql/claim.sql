-- name: stage
-- Waiting jobs whose time has come move among the ready ones, so that a claim never looks at waiting ones.
UPDATE stepwell.job SET ready = true
WHERE key IN (
    SELECT key FROM stepwell.job WHERE NOT ready AND available_at <= $1
    ORDER BY available_at LIMIT $2 FOR UPDATE SKIP LOCKED
)

-- name: next_due
SELECT min(available_at) FROM stepwell.job WHERE NOT ready

-- name: peek
-- Of which kinds the next jobs to be claimed are, without a lock: how many of each are then locked.
SELECT next.kind, count(*) FROM (
    SELECT lane.kind FROM unnest($2::integer[], $3::bigint[]) AS lane (kind, generation)
    CROSS JOIN LATERAL (
        SELECT job.priority, job.available_at, job.key FROM stepwell.job job
        WHERE job.ready AND job.queue = $1 AND job.kind = lane.kind
            AND (job.plan_generation IS NULL OR job.plan_generation <= lane.generation)
            AND (job.expires_at IS NULL OR job.expires_at > $4)
        ORDER BY job.priority DESC, job.available_at, job.key LIMIT $5
    ) job
    ORDER BY job.priority DESC, job.available_at, job.key LIMIT $5
) next GROUP BY next.kind

-- name: ready
-- One range of the index: one queue, one kind, already in the order of claiming. Jobs that another node is claiming at
-- this moment are passed over. Expired jobs are left to maintenance. The payloads are read once the rows are locked: in
-- this statement they would be as they were when it began, whatever the row has become since.
SELECT job.row FROM stepwell.job job
WHERE job.ready AND job.queue = $1 AND job.kind = $2
    AND (job.plan_generation IS NULL OR job.plan_generation <= $3)
    AND (job.expires_at IS NULL OR job.expires_at > $4)
ORDER BY job.priority DESC, job.available_at, job.key LIMIT $5
FOR UPDATE SKIP LOCKED

-- name: owned
SELECT job.row FROM stepwell.job job WHERE job.session = $1 ORDER BY job.key LIMIT $2

-- name: lock_owned
-- A job that somebody is changing at this moment is taken the next time: it may be the application, in a transaction
-- that it holds for long.
SELECT job.row FROM stepwell.job job WHERE job.session = $1 ORDER BY job.key LIMIT $2
FOR UPDATE SKIP LOCKED

-- name: expired
SELECT job.row FROM stepwell.job job
WHERE job.expires_at <= $1 AND job.ready IS NOT NULL ORDER BY job.expires_at, job.key LIMIT $2
FOR UPDATE SKIP LOCKED

-- name: overdue
SELECT job.row FROM stepwell.job job
WHERE job.cancel_deadline <= $1 ORDER BY job.cancel_deadline, job.key LIMIT $2
FOR UPDATE SKIP LOCKED

-- name: ahead
-- How many ready jobs of one queue and of these kinds are claimed before one that stands at this place.
SELECT count(*) FROM (
    SELECT 1 FROM stepwell.job
    WHERE ready AND queue = $1 AND kind = ANY($2)
        AND (priority > $3 OR priority = $3 AND (available_at, key) < ($4, $5))
        AND (expires_at IS NULL OR expires_at > $6)
    LIMIT $7
) ahead

-- name: ahead_unstaged
-- The same for jobs that have become due, and that no claim has moved among the ready ones yet.
SELECT count(*) FROM (
    SELECT 1 FROM stepwell.job
    WHERE NOT ready AND available_at <= $5 AND queue = $1 AND (expires_at IS NULL OR expires_at > $5)
        AND (priority > $2 OR priority = $2 AND (available_at, key) < ($3, $4))
    LIMIT $6
) ahead

-- name: place
SELECT key, queue, priority, available_at FROM stepwell.job WHERE uuid = $1 AND ready IS NOT NULL
