WITH new AS (
    SELECT nextval(pg_get_serial_sequence('job', 'id')) AS id, body FROM unnest($1::text[]) AS t (body)
), stored AS (
    INSERT INTO job (id, uuid, queue, kind, state, priority, run_at, phases, next_seq, created_at)
    OVERRIDING SYSTEM VALUE
    SELECT id, gen_random_uuid(), 1, 1, 0, 0, $2, $3, 2, $2 FROM new
), told AS (
    INSERT INTO event (job, job_seq, kind, at) SELECT id, 1, 0, $2 FROM new
)
INSERT INTO payload (job, body) SELECT id, body FROM new
