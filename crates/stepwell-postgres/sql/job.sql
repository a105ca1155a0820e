-- name: columns
-- What a statement means that selects `job.row`: the columns that tables/row.rs reads by position. They are named one
-- by one, so that a node goes on working when a later one adds a column.
job.key, job.uuid, job.kind, job.queue, job.home_queue, job.priority, job.max_crashes, job.enqueued_at,
    job.available_at, job.expires_at, job.unique_key, job.state, job.reason, job.version, job.run, job.attempt,
    job.crashes, job.epoch, job.session, job.token, job.plan, job.plan_generation, job.cancel_requested_at,
    job.cancel_deadline, job.finished_at, job.next_seq, job.last_seq, job.last_upto, job.elements, job.details,
    job.phases

-- name: lock
-- In the order of the keys, as everybody does: two batches with the same jobs wait for each other only one way.
SELECT job.row FROM stepwell.job job WHERE job.uuid = ANY($1) ORDER BY job.key FOR UPDATE

-- name: by_uuid
SELECT job.row FROM stepwell.job job WHERE job.uuid = $1

-- name: by_keys
SELECT job.row FROM stepwell.job job WHERE job.key = ANY($1) ORDER BY job.key

-- name: lock_by_keys
SELECT job.row FROM stepwell.job job WHERE job.key = ANY($1) ORDER BY job.key FOR UPDATE

-- name: keys
SELECT nextval('stepwell.job_key') FROM generate_series(1, $1::integer)

-- name: insert
INSERT INTO stepwell.job (key, uuid, kind, queue, home_queue, priority, max_crashes, enqueued_at, available_at,
    expires_at, unique_key, ready, state, reason, version, run, attempt, crashes, epoch, session, token, plan,
    plan_generation, cancel_requested_at, cancel_deadline, finished_at, next_seq, last_seq, last_upto, elements,
    details, phases)
SELECT * FROM unnest($1::bigint[], $2::uuid[], $3::integer[], $4::integer[], $5::integer[], $6::smallint[],
    $7::integer[], $8::bigint[], $9::bigint[], $10::bigint[], $11::text[], $12::boolean[], $13::smallint[],
    $14::smallint[], $15::bigint[], $16::integer[], $17::integer[], $18::integer[], $19::bigint[], $20::uuid[],
    $21::uuid[], $22::integer[], $23::bigint[], $24::bigint[], $25::bigint[], $26::bigint[], $27::bigint[],
    $28::bigint[], $29::integer[], $30::boolean[], $31::text[], $32::text[])

-- name: update
-- Whatever may change. A new version of the row is written whole in any case.
UPDATE stepwell.job job SET queue = new.queue, home_queue = new.home_queue, priority = new.priority,
    available_at = new.available_at, expires_at = new.expires_at, ready = new.ready, state = new.state,
    reason = new.reason, version = new.version, run = new.run, attempt = new.attempt, crashes = new.crashes,
    epoch = new.epoch, session = new.session, token = new.token, plan = new.plan,
    plan_generation = new.plan_generation, cancel_requested_at = new.cancel_requested_at,
    cancel_deadline = new.cancel_deadline, finished_at = new.finished_at, next_seq = new.next_seq,
    last_seq = new.last_seq, last_upto = new.last_upto, elements = new.elements, details = new.details,
    phases = new.phases
FROM unnest($1::bigint[], $2::integer[], $3::integer[], $4::smallint[], $5::bigint[], $6::bigint[], $7::boolean[],
    $8::smallint[], $9::smallint[], $10::bigint[], $11::integer[], $12::integer[], $13::integer[], $14::bigint[],
    $15::uuid[], $16::uuid[], $17::integer[], $18::bigint[], $19::bigint[], $20::bigint[], $21::bigint[],
    $22::bigint[], $23::bigint[], $24::integer[], $25::boolean[], $26::text[], $27::text[])
    AS new (key, queue, home_queue, priority, available_at, expires_at, ready, state, reason, version, run, attempt,
        crashes, epoch, session, token, plan, plan_generation, cancel_requested_at, cancel_deadline, finished_at,
        next_seq, last_seq, last_upto, elements, details, phases)
WHERE job.key = new.key

-- name: delete
-- A job, and everything of it but its events.
WITH gone AS (SELECT unnest($1::bigint[]) AS key),
     payload AS (DELETE FROM stepwell.payload USING gone WHERE job_key = gone.key),
     result AS (DELETE FROM stepwell.result USING gone WHERE job_key = gone.key),
     archive AS (DELETE FROM stepwell.archive USING gone WHERE job_key = gone.key),
     checkpoint AS (DELETE FROM stepwell.checkpoint USING gone WHERE job_key = gone.key),
     element AS (DELETE FROM stepwell.element USING gone WHERE job_key = gone.key),
     log AS (DELETE FROM stepwell.log USING gone WHERE job_key = gone.key),
     tag AS (DELETE FROM stepwell.tag USING gone WHERE job_key = gone.key),
     attribute AS (DELETE FROM stepwell.attribute USING gone WHERE job_key = gone.key)
DELETE FROM stepwell.job job USING gone WHERE job.key = gone.key

-- name: holders
-- Who holds each unique key: the live job, and the one that was enqueued last.
SELECT wanted.nth, live.uuid, newest.uuid, newest.enqueued_at
FROM unnest($1::integer[], $2::text[]) WITH ORDINALITY AS wanted (kind, key, nth)
LEFT JOIN LATERAL (
    SELECT job.uuid FROM stepwell.job job
    WHERE job.unique_key = wanted.key AND job.kind = wanted.kind AND job.unique_key IS NOT NULL AND job.state < 3
) live ON true
LEFT JOIN LATERAL (
    SELECT job.uuid, job.enqueued_at FROM stepwell.job job
    WHERE job.unique_key = wanted.key AND job.kind = wanted.kind AND job.unique_key IS NOT NULL
    ORDER BY job.key DESC LIMIT 1
) newest ON true
