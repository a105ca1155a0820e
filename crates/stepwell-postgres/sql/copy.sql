-- A whole store, as an end of a copy. Each table is read in the order of its key, with names instead of their numbers;
-- and written likewise, with a list for each column in the order of `stepwell_core::store::copy::Table::columns`.

-- name: standing
SELECT meta.generation, copy.id, copy.is_source, copy.peer, copy.done, copy.arrived, copy.records
FROM stepwell.meta meta LEFT JOIN stepwell.copy copy ON copy.one = meta.one

-- name: head
SELECT meta.generation, head.next_pos, tail.floor_pos, tail.walk_pos, head.clock,
    (SELECT last_value + is_called::integer FROM stepwell.job_key)
FROM stepwell.meta meta CROSS JOIN stepwell.log_head head CROSS JOIN stepwell.log_tail tail

-- name: count
-- The statement that reads a table takes the place of the word.
SELECT count(*) FROM (records) AS counted

-- name: rest
-- A cursor, because not all records fit into the memory at once.
DECLARE copied NO SCROLL CURSOR FOR records OFFSET 0

-- name: fetch
FETCH FORWARD 1 FROM copied

-- name: owners
SELECT session.node, session.queues, (SELECT count(*) FROM stepwell.job job WHERE job.session = session.id),
    session.expires_at
FROM stepwell.session session WHERE NOT session.dead AND session.expires_at > $1 ORDER BY session.n

-- name: paused
SELECT name.name FROM stepwell.queue queue JOIN stepwell.name name ON name.id = queue.name
WHERE queue.paused_at IS NOT NULL

-- name: hold
-- Whoever writes has read this table first, in the same transaction. Nobody is between the two from here on.
LOCK TABLE stepwell.meta IN ACCESS EXCLUSIVE MODE

-- name: seal
UPDATE stepwell.meta SET sealed = true

-- name: unseal
UPDATE stepwell.meta SET sealed = false

-- name: unseal_as
UPDATE stepwell.meta SET sealed = false, generation = $1, generation_n = generation_n + 1

-- name: refuse_inbox
-- Applications look at nothing before they put something in. What came now would stay behind. This waits for those who
-- are at it.
CREATE OR REPLACE TRIGGER inbox_sealed BEFORE INSERT ON stepwell.stepwell_inbox
FOR EACH STATEMENT EXECUTE FUNCTION stepwell.refuse_sealed()

-- name: accept_inbox
DROP TRIGGER IF EXISTS inbox_sealed ON stepwell.stepwell_inbox

-- name: note
INSERT INTO stepwell.copy (id, is_source, peer, done, arrived, records) VALUES ($1, $2, $3, false, $4, 0)
ON CONFLICT (one) DO UPDATE SET id = excluded.id, is_source = excluded.is_source, peer = excluded.peer, done = false,
    arrived = excluded.arrived, records = 0

-- name: note_done
UPDATE stepwell.copy SET done = true WHERE id = $1 AND is_source

-- name: note_arrived
UPDATE stepwell.copy SET arrived = $1, records = $2 WHERE arrived = $3 AND records = $4 AND NOT is_source

-- name: forget
DELETE FROM stepwell.copy

-- name: insert_names
INSERT INTO stepwell.name (name) SELECT new.name FROM unnest($1::text[]) AS new (name) ON CONFLICT (name) DO NOTHING

-- name: write_head
WITH meta AS (UPDATE stepwell.meta SET generation = $1),
     tail AS (UPDATE stepwell.log_tail SET floor_pos = $3, walk_pos = $4)
UPDATE stepwell.log_head SET next_pos = $2, clock = $5

-- name: set_sequences
-- A batch of a copy has its last position as its number.
SELECT setval('stepwell.job_key', $1, false), setval('stepwell.batch_seq', $2, false)

-- name: forget_counters
DELETE FROM stepwell.counter

-- name: count_jobs
INSERT INTO stepwell.counter (part, queue, kind, state, n)
SELECT 0, queue, kind, state, count(*) FROM stepwell.job GROUP BY queue, kind, state

-- name: analyze
-- Nobody has to wait for the planner to learn how much there is.
ANALYZE stepwell.job, stepwell.payload, stepwell.result, stepwell.tag, stepwell.attribute, stepwell.event_batch,
    stepwell.event, stepwell.setting

-- name: read_session
-- Those that own jobs, whether or not they have a row.
SELECT owner.id, coalesce(session.node, '') AS node, coalesce(session.started_at, 0) AS started_at,
    coalesce(session.kinds, '[]') AS kinds, coalesce(session.queues, '[]') AS queues
FROM (SELECT DISTINCT job.session AS id FROM stepwell.job job WHERE job.session IS NOT NULL) owner
LEFT JOIN stepwell.session session ON session.id = owner.id
ORDER BY owner.id

-- name: write_session
INSERT INTO stepwell.session (id, node, started_at, expires_at, kinds, queues, dead)
SELECT new.id, new.node, new.started_at, 0, new.kinds, new.queues, true
FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::text[], $5::text[])
    AS new (id, node, started_at, kinds, queues)

-- name: read_plan
SELECT kind.name AS kind, plan.hash, plan.generation, plan.spec
FROM stepwell.plan plan JOIN stepwell.name kind ON kind.id = plan.kind
ORDER BY kind.name COLLATE "C", plan.hash COLLATE "C"

-- name: write_plan
INSERT INTO stepwell.plan (kind, hash, generation, spec)
SELECT kind.id, new.hash, new.generation, new.spec
FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[]) AS new (kind, hash, generation, spec)
JOIN stepwell.name kind ON kind.name = new.kind

-- name: read_queue
SELECT name.name AS name, queue.paused_at, queue.paused_reason, queue.at_once
FROM stepwell.queue queue JOIN stepwell.name name ON name.id = queue.name ORDER BY name.name COLLATE "C"

-- name: write_queue
INSERT INTO stepwell.queue (name, paused_at, paused_reason, at_once)
SELECT name.id, new.paused_at, new.paused_reason, new.at_once
FROM unnest($1::text[], $2::bigint[], $3::text[], $4::integer[]) AS new (name, paused_at, paused_reason, at_once)
JOIN stepwell.name name ON name.name = new.name

-- name: read_cursor
SELECT name, pos FROM stepwell.cursor ORDER BY name COLLATE "C"

-- name: write_cursor
INSERT INTO stepwell.cursor (name, pos) SELECT * FROM unnest($1::text[], $2::bigint[])

-- name: read_scope
SELECT scope, revision FROM stepwell.scope ORDER BY scope COLLATE "C"

-- name: write_scope
INSERT INTO stepwell.scope (scope, revision) SELECT * FROM unnest($1::text[], $2::bigint[])

-- name: read_setting
SELECT scope, key, version, at, value FROM stepwell.setting ORDER BY scope COLLATE "C", key COLLATE "C"

-- name: write_setting
INSERT INTO stepwell.setting (scope, key, version, at, value)
SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[], $5::text[])

-- name: read_event
SELECT batch.last_pos - batch.n + event.upto AS last_pos, event.n, event.job_key, event.job_uuid, kind.name AS kind,
    queue.name AS queue, event.last_job_seq, event.run, event.at, event.types,
    CASE WHEN before.last_pos - before.n + event.prev_upto >= tail.floor_pos
        THEN before.last_pos - before.n + event.prev_upto ELSE 0 END AS prev_pos, event.data
FROM stepwell.event_batch batch
JOIN stepwell.event event ON event.day = batch.day AND event.seq = batch.seq
CROSS JOIN stepwell.log_tail tail
LEFT JOIN stepwell.name kind ON kind.id = event.kind
LEFT JOIN stepwell.name queue ON queue.id = event.queue
LEFT JOIN stepwell.event_batch before ON before.seq = event.prev_seq
ORDER BY batch.last_pos, event.upto

-- name: write_batches
-- They come before what they hold, so that it is found where it stands.
INSERT INTO stepwell.event_batch (seq, day, n, last_pos)
SELECT new.last_pos, new.day, new.n, new.last_pos
FROM unnest($1::bigint[], $2::integer[], $3::integer[]) AS new (last_pos, day, n)

-- name: write_event
INSERT INTO stepwell.event (day, seq, upto, n, job_key, job_uuid, kind, queue, last_job_seq, run, at, types, prev_seq,
    prev_upto, data)
SELECT batch.day, batch.seq, (new.last_pos - batch.last_pos + batch.n)::integer, new.n, new.job_key, new.job_uuid,
    kind.id, queue.id, new.last_job_seq, new.run, new.at, new.types, coalesce(before.seq, 0),
    coalesce((new.prev_pos - before.last_pos + before.n)::integer, 0), new.data
FROM unnest($1::bigint[], $2::integer[], $3::bigint[], $4::uuid[], $5::text[], $6::text[], $7::bigint[], $8::integer[],
    $9::bigint[], $10::bigint[], $11::bigint[], $12::text[])
    AS new (last_pos, n, job_key, job_uuid, kind, queue, last_job_seq, run, at, types, prev_pos, data)
JOIN stepwell.name kind ON kind.name = new.kind
JOIN stepwell.name queue ON queue.name = new.queue
CROSS JOIN LATERAL (
    SELECT * FROM stepwell.event_batch holder WHERE holder.last_pos >= new.last_pos ORDER BY holder.last_pos LIMIT 1
) batch
LEFT JOIN LATERAL (
    SELECT * FROM stepwell.event_batch holder WHERE holder.last_pos >= new.prev_pos ORDER BY holder.last_pos LIMIT 1
) before ON new.prev_pos > 0

-- name: read_job
SELECT job.key, job.uuid, kind.name AS kind, queue.name AS queue, home.name AS home_queue, job.priority::bigint,
    job.max_crashes, job.enqueued_at, job.available_at, job.expires_at, job.unique_key, job.ready, job.state::bigint,
    job.reason::bigint, job.version, job.run, job.attempt, job.crashes, job.epoch, job.session, job.token,
    plan.name AS plan, job.plan_generation, job.cancel_requested_at, job.cancel_deadline, job.finished_at, job.next_seq,
    CASE WHEN last.last_pos - last.n + job.last_upto >= tail.floor_pos
        THEN last.last_pos - last.n + job.last_upto ELSE 0 END AS last_event_pos, job.elements, job.details, job.phases
FROM stepwell.job job
CROSS JOIN stepwell.log_tail tail
LEFT JOIN stepwell.name kind ON kind.id = job.kind
LEFT JOIN stepwell.name queue ON queue.id = job.queue
LEFT JOIN stepwell.name home ON home.id = job.home_queue
LEFT JOIN stepwell.name plan ON plan.id = job.plan
LEFT JOIN stepwell.event_batch last ON last.seq = job.last_seq
ORDER BY job.key

-- name: write_job
INSERT INTO stepwell.job (key, uuid, kind, queue, home_queue, priority, max_crashes, enqueued_at, available_at,
    expires_at, unique_key, ready, state, reason, version, run, attempt, crashes, epoch, session, token, plan,
    plan_generation, cancel_requested_at, cancel_deadline, finished_at, next_seq, last_seq, last_upto, elements,
    details, phases)
SELECT new.key, new.uuid, kind.id, queue.id, home.id, new.priority::smallint, new.max_crashes, new.enqueued_at,
    new.available_at, new.expires_at, new.unique_key, new.ready, new.state::smallint, new.reason::smallint, new.version,
    new.run, new.attempt, new.crashes, new.epoch, new.session, new.token, plan.id, new.plan_generation,
    new.cancel_requested_at, new.cancel_deadline, new.finished_at, new.next_seq, coalesce(batch.seq, 0),
    coalesce((new.last_event_pos - batch.last_pos + batch.n)::integer, 0), new.elements, new.details, new.phases
FROM unnest($1::bigint[], $2::uuid[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::integer[], $8::bigint[],
    $9::bigint[], $10::bigint[], $11::text[], $12::boolean[], $13::bigint[], $14::bigint[], $15::bigint[],
    $16::integer[], $17::integer[], $18::integer[], $19::bigint[], $20::uuid[], $21::uuid[], $22::text[], $23::bigint[],
    $24::bigint[], $25::bigint[], $26::bigint[], $27::bigint[], $28::bigint[], $29::boolean[], $30::text[],
    $31::text[])
    AS new (key, uuid, kind, queue, home_queue, priority, max_crashes, enqueued_at, available_at, expires_at,
        unique_key, ready, state, reason, version, run, attempt, crashes, epoch, session, token, plan, plan_generation,
        cancel_requested_at, cancel_deadline, finished_at, next_seq, last_event_pos, elements, details, phases)
JOIN stepwell.name kind ON kind.name = new.kind
JOIN stepwell.name queue ON queue.name = new.queue
JOIN stepwell.name home ON home.name = new.home_queue
LEFT JOIN stepwell.name plan ON plan.name = new.plan
LEFT JOIN LATERAL (
    SELECT * FROM stepwell.event_batch holder
    WHERE holder.last_pos >= new.last_event_pos ORDER BY holder.last_pos LIMIT 1
) batch ON new.last_event_pos > 0

-- name: read_payload
SELECT job_key, body FROM stepwell.payload ORDER BY job_key

-- name: write_payload
INSERT INTO stepwell.payload (job_key, body) SELECT * FROM unnest($1::bigint[], $2::text[])

-- name: read_result
SELECT result.job_key, phase.name AS phase, result.body
FROM stepwell.result result LEFT JOIN stepwell.name phase ON phase.id = result.phase
ORDER BY result.job_key, phase.name COLLATE "C"

-- name: write_result
INSERT INTO stepwell.result (job_key, phase, body)
SELECT new.job_key, phase.id, new.body
FROM unnest($1::bigint[], $2::text[], $3::text[]) AS new (job_key, phase, body)
JOIN stepwell.name phase ON phase.name = new.phase

-- name: read_archive
SELECT archive.job_key, phase.name AS phase, archive.run, archive.body
FROM stepwell.archive archive LEFT JOIN stepwell.name phase ON phase.id = archive.phase
ORDER BY archive.job_key, phase.name COLLATE "C", archive.run

-- name: write_archive
INSERT INTO stepwell.archive (job_key, phase, run, body)
SELECT new.job_key, phase.id, new.run, new.body
FROM unnest($1::bigint[], $2::text[], $3::integer[], $4::text[]) AS new (job_key, phase, run, body)
JOIN stepwell.name phase ON phase.name = new.phase

-- name: read_checkpoint
SELECT checkpoint.job_key, phase.name AS phase, checkpoint.body
FROM stepwell.checkpoint checkpoint LEFT JOIN stepwell.name phase ON phase.id = checkpoint.phase
ORDER BY checkpoint.job_key, phase.name COLLATE "C"

-- name: write_checkpoint
INSERT INTO stepwell.checkpoint (job_key, phase, body)
SELECT new.job_key, phase.id, new.body
FROM unnest($1::bigint[], $2::text[], $3::text[]) AS new (job_key, phase, body)
JOIN stepwell.name phase ON phase.name = new.phase

-- name: read_element
SELECT element.job_key, phase.name AS phase, element.idx, element.input_hash, element.result
FROM stepwell.element element LEFT JOIN stepwell.name phase ON phase.id = element.phase
ORDER BY element.job_key, phase.name COLLATE "C", element.idx

-- name: write_element
INSERT INTO stepwell.element (job_key, phase, idx, input_hash, result)
SELECT new.job_key, phase.id, new.idx, new.input_hash, new.result
FROM unnest($1::bigint[], $2::text[], $3::integer[], $4::text[], $5::text[])
    AS new (job_key, phase, idx, input_hash, result)
JOIN stepwell.name phase ON phase.name = new.phase

-- name: read_log
SELECT job_key, row_number() OVER (PARTITION BY job_key ORDER BY n) AS n, at, phase, text
FROM stepwell.log log ORDER BY job_key, log.n

-- name: write_log
-- Lines get numbers of their own, in this order.
INSERT INTO stepwell.log (job_key, at, phase, text)
SELECT new.job_key, new.at, new.phase, new.text
FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::text[], $5::text[]) AS new (job_key, n, at, phase, text)
ORDER BY new.job_key, new.n

-- name: read_tag
SELECT tag, job_key FROM stepwell.tag ORDER BY tag COLLATE "C", job_key

-- name: write_tag
INSERT INTO stepwell.tag (tag, job_key) SELECT * FROM unnest($1::text[], $2::bigint[])

-- name: read_attribute
SELECT key, value, job_key FROM stepwell.attribute ORDER BY key COLLATE "C", value COLLATE "C", job_key

-- name: write_attribute
INSERT INTO stepwell.attribute (key, value, job_key) SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[])

-- name: read_inbox
SELECT row_number() OVER (ORDER BY inbox.n) AS n, id, v, kind, payload, queue, priority, delay_ms, run_at, unique_key,
    unique_within_ms, idempotency_key, tags, attributes
FROM stepwell.stepwell_inbox inbox ORDER BY inbox.n

-- name: write_inbox
-- Likewise.
INSERT INTO stepwell.stepwell_inbox (id, v, kind, payload, queue, priority, delay_ms, run_at, unique_key,
    unique_within_ms, idempotency_key, tags, attributes)
SELECT new.id, new.v, new.kind, new.payload, new.queue, new.priority, new.delay_ms, new.run_at, new.unique_key,
    new.unique_within_ms, new.idempotency_key, new.tags, new.attributes
FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::text[], $7::bigint[], $8::bigint[],
    $9::bigint[], $10::text[], $11::bigint[], $12::text[], $13::text[], $14::text[])
    AS new (n, id, v, kind, payload, queue, priority, delay_ms, run_at, unique_key, unique_within_ms, idempotency_key,
        tags, attributes)
ORDER BY new.n

-- name: read_inbox_done
SELECT id, job_id, error, idempotency_key, at FROM stepwell.inbox_done ORDER BY id COLLATE "C"

-- name: write_inbox_done
INSERT INTO stepwell.inbox_done (id, job_id, error, idempotency_key, at)
SELECT * FROM unnest($1::text[], $2::uuid[], $3::text[], $4::text[], $5::bigint[])
