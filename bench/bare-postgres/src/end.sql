WITH mine AS (
    SELECT * FROM unnest($1::bigint[], $2::integer[], $3::text[]) AS t (id, epoch, token)
), changed AS (
    UPDATE job SET state = 2, owner = NULL, token = NULL, epoch = job.epoch + 1, phases = $4,
        next_seq = next_seq + 2, finished_at = $6
    FROM mine WHERE job.id = mine.id AND job.state = 1 AND job.epoch = mine.epoch AND job.token = mine.token::uuid
    RETURNING job.id
), told AS (
    INSERT INTO event (job, job_seq, kind, at, data)
    SELECT id, $5, 2, $6, '["job:phase:completed","job:completed"]' FROM changed
)
SELECT count(*) FROM changed
