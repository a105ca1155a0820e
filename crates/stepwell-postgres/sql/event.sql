-- name: seq
SELECT nextval('stepwell.batch_seq')

-- name: insert
-- A batch, and what it says.
WITH batch AS (INSERT INTO stepwell.event_batch (day, seq, n) VALUES ($1, $2, $3))
INSERT INTO stepwell.event (day, seq, upto, n, job_key, job_uuid, kind, queue, last_job_seq, run, at, types, prev_seq,
    prev_upto, data)
SELECT $1, $2, new.* FROM unnest($4::integer[], $5::integer[], $6::bigint[], $7::uuid[], $8::integer[], $9::integer[],
    $10::bigint[], $11::integer[], $12::bigint[], $13::bigint[], $14::bigint[], $15::integer[], $16::text[])
    AS new (upto, n, job_key, job_uuid, kind, queue, last_job_seq, run, at, types, prev_seq, prev_upto, data)

-- name: number
SELECT stepwell.number_events($1, $2)

-- name: is_behind
SELECT EXISTS (SELECT 1 FROM stepwell.event_batch WHERE last_pos IS NULL)

-- name: open_day
SELECT stepwell.open_day($1)

-- name: drop_days
-- Those before the first event that is kept, and before the one given.
SELECT stepwell.drop_days(least($1, (SELECT day FROM stepwell.event_batch WHERE last_pos IS NOT NULL
    ORDER BY last_pos LIMIT 1)))

-- name: after
SELECT batch.last_pos - batch.n + event.upto, event.job_uuid, event.kind, event.queue, event.last_job_seq, event.run,
    event.at, event.types, event.data
FROM stepwell.event_batch batch JOIN stepwell.event event ON event.day = batch.day AND event.seq = batch.seq
WHERE batch.last_pos > $1 AND event.upto > $1 - batch.last_pos + batch.n
ORDER BY batch.last_pos, event.upto LIMIT $2

-- name: history
-- The events of one job, found by walking back from its last one: no index has to be kept for it. Those that have no
-- position yet are passed over.
WITH RECURSIVE walk AS (
    SELECT batch.last_pos - batch.n + event.upto AS pos, event.job_uuid, event.kind, event.queue, event.last_job_seq,
        event.run, event.at, event.types, event.data, event.prev_seq, event.prev_upto
    FROM stepwell.job job
    JOIN stepwell.event_batch batch ON batch.seq = job.last_seq
    JOIN stepwell.event event ON event.day = batch.day AND event.seq = batch.seq AND event.upto = job.last_upto
    WHERE job.uuid = $1
    UNION ALL
    SELECT batch.last_pos - batch.n + event.upto, event.job_uuid, event.kind, event.queue, event.last_job_seq,
        event.run, event.at, event.types, event.data, event.prev_seq, event.prev_upto
    FROM walk
    JOIN stepwell.event_batch batch ON batch.seq = walk.prev_seq
    JOIN stepwell.event event ON event.day = batch.day AND event.seq = batch.seq AND event.upto = walk.prev_upto
    WHERE walk.pos > $2 OR walk.pos IS NULL
)
SELECT pos, job_uuid, kind, queue, last_job_seq, run, at, types, data
FROM walk WHERE pos > $2 ORDER BY pos LIMIT $3

-- name: pos_of
-- The place in the log of the events that stand here: none if the batch is gone, NULL if it has no positions yet.
SELECT last_pos - n + $2::integer FROM stepwell.event_batch WHERE seq = $1

-- name: oldest
SELECT batch.seq, batch.day, event.upto, event.upto = batch.n, batch.last_pos - batch.n + event.upto, event.at
FROM stepwell.event_batch batch JOIN stepwell.event event ON event.day = batch.day AND event.seq = batch.seq
WHERE batch.last_pos IS NOT NULL
ORDER BY batch.last_pos, event.upto LIMIT $1

-- name: prune
-- Rows of one batch, up to a place in it.
DELETE FROM stepwell.event WHERE (day, seq) IN (SELECT * FROM unnest($1::integer[], $2::bigint[]))
    AND upto <= $3

-- name: prune_batches
DELETE FROM stepwell.event_batch WHERE seq = ANY($1)

-- name: walk
-- Ends of runs, with what became of the job since: gone, set going again, or still as it ended then. The window bounds
-- how many rows are looked at.
SELECT batch.last_pos - batch.n + event.upto, event.at, event.run, job.key, job.state, job.finished_at, job.run
FROM stepwell.event_batch batch
JOIN stepwell.event event ON event.day = batch.day AND event.seq = batch.seq
LEFT JOIN stepwell.job job ON job.key = event.job_key
WHERE batch.last_pos > $1
    -- The batch that reaches beyond the end of the window is the last one that is looked at.
    AND batch.last_pos <= coalesce((SELECT min(last_pos) FROM stepwell.event_batch WHERE last_pos >= $2), $2)
    AND event.upto > $1 - batch.last_pos + batch.n AND event.upto <= $2 - batch.last_pos + batch.n
    AND event.types & $3 <> 0
ORDER BY batch.last_pos, event.upto

-- name: lowest_cursor
SELECT min(pos) FROM stepwell.cursor
