-- A whole store, as an end of a copy. Each table is read in the order of its key, with names instead of their numbers;
-- and written likewise, with a parameter for each column in the order of `stepwell_core::store::copy::Table::columns`.

-- name: standing
SELECT meta.generation, copy.id, copy.is_source, copy.peer, copy.done, copy.arrived, copy.records
FROM sw_meta meta LEFT JOIN sw_copy copy ON copy.one = meta.one

-- name: head
SELECT generation, next_pos, floor_pos, walk_pos, clock, next_job_key FROM sw_meta

-- name: count
-- The statement that reads a table takes the place of the word.
SELECT count(*) FROM (records)

-- name: rest
records LIMIT -1 OFFSET ?1

-- name: owners
SELECT session.id, session.node, session.queues, (SELECT count(*) FROM sw_job job WHERE job.session = session.n)
FROM sw_session session WHERE session.dead = 0 ORDER BY session.n

-- name: paused
SELECT name.name FROM sw_queue queue JOIN sw_name name ON name.id = queue.name WHERE queue.paused_at IS NOT NULL

-- name: seal
UPDATE sw_meta SET sealed = 1

-- name: unseal
UPDATE sw_meta SET sealed = 0

-- name: unseal_as
UPDATE sw_meta SET sealed = 0, generation = ?1

-- name: refuse_inbox
-- Applications look at nothing before they put something in. What came now would stay behind.
CREATE TRIGGER IF NOT EXISTS stepwell_inbox_sealed BEFORE INSERT ON stepwell_inbox BEGIN
    SELECT RAISE(ABORT, 'the store is sealed, because it is being copied, or was copied to another place');
END

-- name: accept_inbox
DROP TRIGGER IF EXISTS stepwell_inbox_sealed

-- name: note
INSERT OR REPLACE INTO sw_copy (one, id, is_source, peer, done, arrived, records) VALUES (1, ?1, ?2, ?3, 0, ?4, 0)

-- name: note_done
UPDATE sw_copy SET done = 1 WHERE id = ?1 AND is_source = 1

-- name: note_arrived
UPDATE sw_copy SET arrived = ?1, records = ?2 WHERE arrived = ?3 AND records = ?4 AND is_source = 0

-- name: forget
DELETE FROM sw_copy

-- name: insert_name
INSERT OR IGNORE INTO sw_name (name) VALUES (?1)

-- name: write_head
UPDATE sw_meta SET generation = ?1, next_pos = ?2, floor_pos = ?3, walk_pos = ?4, clock = ?5, next_job_key = ?6

-- name: forget_counters
DELETE FROM sw_counter

-- name: count_jobs
INSERT INTO sw_counter (queue, kind, state, n)
SELECT queue, kind, state, count(*) FROM sw_job GROUP BY queue, kind, state

-- name: read_session
SELECT id, node, started_at, kinds, queues FROM sw_session session
WHERE EXISTS (SELECT 1 FROM sw_job job WHERE job.session = session.n) ORDER BY id

-- name: write_session
-- Its number and slot are the next ones, which are fewer than there are jobs.
INSERT INTO sw_session (n, id, slot, pid, node, started_at, kinds, queues, dead)
SELECT coalesce(max(n), 0) + 1, ?1, coalesce(max(slot), -1) + 1, 0, ?2, ?3, ?4, ?5, 1 FROM sw_session

-- name: read_plan
SELECT kind.name AS kind, plan.hash, plan.generation, plan.spec
FROM sw_plan plan JOIN sw_name kind ON kind.id = plan.kind ORDER BY kind.name, plan.hash

-- name: write_plan
INSERT INTO sw_plan (kind, hash, generation, spec) VALUES ((SELECT id FROM sw_name WHERE name = ?1), ?2, ?3, ?4)

-- name: read_queue
SELECT name.name AS name, queue.paused_at, queue.paused_reason, queue.at_once
FROM sw_queue queue JOIN sw_name name ON name.id = queue.name ORDER BY name.name

-- name: write_queue
INSERT INTO sw_queue (name, paused_at, paused_reason, at_once)
VALUES ((SELECT id FROM sw_name WHERE name = ?1), ?2, ?3, ?4)

-- name: read_cursor
SELECT name, pos FROM sw_cursor ORDER BY name

-- name: write_cursor
INSERT INTO sw_cursor (name, pos) VALUES (?1, ?2)

-- name: read_scope
SELECT scope, revision FROM sw_scope ORDER BY scope

-- name: write_scope
INSERT INTO sw_scope (scope, revision) VALUES (?1, ?2)

-- name: read_setting
SELECT scope, key, version, at, value FROM sw_setting ORDER BY scope, key

-- name: write_setting
INSERT INTO sw_setting (scope, key, version, at, value) VALUES (?1, ?2, ?3, ?4, ?5)

-- name: read_event
SELECT event.last_pos, event.n, event.job_key, event.job_uuid, kind.name AS kind, queue.name AS queue,
    event.last_job_seq, event.run, event.at, event.types,
    CASE WHEN event.prev_pos >= meta.floor_pos THEN event.prev_pos ELSE 0 END AS prev_pos, event.data
FROM sw_event event CROSS JOIN sw_meta meta
LEFT JOIN sw_name kind ON kind.id = event.kind
LEFT JOIN sw_name queue ON queue.id = event.queue
ORDER BY event.last_pos

-- name: write_event
INSERT INTO sw_event (last_pos, n, job_key, job_uuid, kind, queue, last_job_seq, run, at, types, prev_pos, data)
VALUES (?1, ?2, ?3, ?4, (SELECT id FROM sw_name WHERE name = ?5), (SELECT id FROM sw_name WHERE name = ?6), ?7, ?8, ?9,
    ?10, ?11, ?12)

-- name: read_job
SELECT job.key, job.uuid, kind.name AS kind, queue.name AS queue, home.name AS home_queue, job.priority,
    job.max_crashes, job.enqueued_at, job.available_at, job.expires_at, job.unique_key, job.ready, job.state,
    job.reason, job.version, job.run, job.attempt, job.crashes, job.epoch, session.id AS session, job.token, plan.name AS plan,
    job.plan_generation, job.cancel_requested_at, job.cancel_deadline, job.finished_at, job.next_seq,
    CASE WHEN job.last_event_pos >= meta.floor_pos THEN job.last_event_pos ELSE 0 END AS last_event_pos, job.elements,
    job.details, job.phases
FROM sw_job job CROSS JOIN sw_meta meta
LEFT JOIN sw_name kind ON kind.id = job.kind
LEFT JOIN sw_name queue ON queue.id = job.queue
LEFT JOIN sw_name home ON home.id = job.home_queue
LEFT JOIN sw_name plan ON plan.id = job.plan
LEFT JOIN sw_session session ON session.n = job.session
ORDER BY job.key

-- name: write_job
-- Three columns repeat others for the sake of an index.
INSERT INTO sw_job (key, uuid, kind, queue, home_queue, priority, max_crashes, enqueued_at, available_at, expires_at,
    unique_key, ready, state, reason, version, run, attempt, crashes, epoch, session, token, plan, plan_generation,
    cancel_requested_at, cancel_deadline, finished_at, next_seq, last_event_pos, elements, details, phases, unique_live,
    failed_at, cancelled_at)
VALUES (?1, ?2, (SELECT id FROM sw_name WHERE name = ?3), (SELECT id FROM sw_name WHERE name = ?4),
    (SELECT id FROM sw_name WHERE name = ?5), ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19,
    (SELECT n FROM sw_session WHERE id = ?20), ?21, (SELECT id FROM sw_name WHERE name = ?22), ?23, ?24, ?25, ?26, ?27,
    ?28, ?29, ?30, ?31, CASE WHEN ?13 < 3 THEN ?11 END, CASE ?13 WHEN 4 THEN ?26 END, CASE ?13 WHEN 5 THEN ?26 END)

-- name: read_payload
SELECT job_key, body FROM sw_payload ORDER BY job_key

-- name: write_payload
INSERT INTO sw_payload (job_key, body) VALUES (?1, ?2)

-- name: read_result
SELECT result.job_key, phase.name AS phase, result.body
FROM sw_result result LEFT JOIN sw_name phase ON phase.id = result.phase ORDER BY result.job_key, phase.name

-- name: write_result
INSERT INTO sw_result (job_key, phase, body) VALUES (?1, (SELECT id FROM sw_name WHERE name = ?2), ?3)

-- name: read_archive
SELECT archive.job_key, phase.name AS phase, archive.run, archive.body
FROM sw_archive archive LEFT JOIN sw_name phase ON phase.id = archive.phase
ORDER BY archive.job_key, phase.name, archive.run

-- name: write_archive
INSERT INTO sw_archive (job_key, phase, run, body) VALUES (?1, (SELECT id FROM sw_name WHERE name = ?2), ?3, ?4)

-- name: read_checkpoint
SELECT checkpoint.job_key, phase.name AS phase, checkpoint.body
FROM sw_checkpoint checkpoint LEFT JOIN sw_name phase ON phase.id = checkpoint.phase
ORDER BY checkpoint.job_key, phase.name

-- name: write_checkpoint
INSERT INTO sw_checkpoint (job_key, phase, body) VALUES (?1, (SELECT id FROM sw_name WHERE name = ?2), ?3)

-- name: read_element
SELECT element.job_key, phase.name AS phase, element.idx, element.input_hash, element.result
FROM sw_element element LEFT JOIN sw_name phase ON phase.id = element.phase
ORDER BY element.job_key, phase.name, element.idx

-- name: write_element
INSERT INTO sw_element (job_key, phase, idx, input_hash, result)
VALUES (?1, (SELECT id FROM sw_name WHERE name = ?2), ?3, ?4, ?5)

-- name: read_log
SELECT job_key, row_number() OVER (PARTITION BY job_key ORDER BY n) AS n, at, phase, text
FROM sw_log ORDER BY job_key, 2

-- name: write_log
INSERT INTO sw_log (job_key, n, at, phase, text) VALUES (?1, ?2, ?3, ?4, ?5)

-- name: read_tag
SELECT tag, job_key FROM sw_tag ORDER BY tag, job_key

-- name: write_tag
INSERT INTO sw_tag (tag, job_key) VALUES (?1, ?2)

-- name: read_attribute
SELECT key, value, job_key FROM sw_attribute ORDER BY key, value, job_key

-- name: write_attribute
INSERT INTO sw_attribute (key, value, job_key) VALUES (?1, ?2, ?3)

-- name: read_inbox
SELECT row_number() OVER (ORDER BY n) AS n, id, v, kind, payload, queue, priority, delay_ms, run_at, unique_key,
    unique_within_ms, idempotency_key, tags, attributes
FROM stepwell_inbox ORDER BY stepwell_inbox.n

-- name: write_inbox
INSERT INTO stepwell_inbox (n, id, v, kind, payload, queue, priority, delay_ms, run_at, unique_key, unique_within_ms,
    idempotency_key, tags, attributes)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)

-- name: read_inbox_done
-- An id is a UUID, as 16 bytes, or what stood there instead.
SELECT CASE typeof(id) WHEN 'blob' THEN lower(printf('%s-%s-%s-%s-%s', substr(hex(id), 1, 8), substr(hex(id), 9, 4),
    substr(hex(id), 13, 4), substr(hex(id), 17, 4), substr(hex(id), 21))) ELSE id END AS id, job_id, error,
    idempotency_key, at
FROM sw_inbox_done ORDER BY 1

-- name: write_inbox_done
INSERT INTO sw_inbox_done (id, job_id, error, idempotency_key, at) VALUES (?1, ?2, ?3, ?4, ?5)
