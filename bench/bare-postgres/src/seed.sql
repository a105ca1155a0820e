-- Jobs that are only to be in the way: $1 of them in state $2, from the time $3 on, a microsecond apart.
WITH new AS (
    SELECT nextval(pg_get_serial_sequence('job', 'id')) AS id, $3::bigint + n AS at FROM generate_series(1, $1::bigint) n
), stored AS (
    INSERT INTO job (id, uuid, queue, kind, state, priority, run_at, attempt, epoch, phases, next_seq, created_at,
        finished_at)
    OVERRIDING SYSTEM VALUE
    SELECT id, gen_random_uuid(), 1, 1, $2, 0, at, $2 / 2, $2, $4, 2 + 2 * $2, at,
        CASE WHEN $2 = 2 THEN at END FROM new
), told AS (
    INSERT INTO event (job, job_seq, kind, at, data)
    SELECT id, 2 * kind, kind, at, '["job:phase:completed","job:completed"]' FROM new, generate_series(0, $2) kind
)
INSERT INTO payload (job, body)
SELECT id, '{"id":4294967295,"begun_ns":0,"to":"someone@example.com"}' FROM new
