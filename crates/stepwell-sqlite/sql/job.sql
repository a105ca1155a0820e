-- name: by_uuid
-- The columns come in the order of the table, to which later migrations only append; tables/row.rs reads them by position.
SELECT job.* FROM sw_job job WHERE job.uuid = ?1

-- name: by_key
SELECT job.* FROM sw_job job WHERE job.key = ?1

-- name: insert
INSERT INTO sw_job (key, uuid, kind, queue, home_queue, priority, max_crashes, enqueued_at, available_at, expires_at,
    unique_key, unique_live, ready, state, reason, version, run, attempt, crashes, epoch, plan, plan_generation,
    next_seq, last_event_pos, details, phases)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24,
    ?25, ?26)

-- name: update
-- Whatever may change. The three narrow updates below leave alone what a claim, a phase's end and a job's end leave alone,
-- so that SQLite neither compares nor touches the indexes that stand on it.
UPDATE sw_job SET queue = ?2, home_queue = ?3, priority = ?4, available_at = ?5, expires_at = ?6, unique_live = ?7,
    ready = ?8, state = ?9, reason = ?10, version = ?11, run = ?12, attempt = ?13, crashes = ?14, epoch = ?15,
    session = ?16, token = ?17, plan = ?18, plan_generation = ?19, cancel_requested_at = ?20, cancel_deadline = ?21,
    finished_at = ?22, failed_at = ?23, cancelled_at = ?24, next_seq = ?25, last_event_pos = ?26, details = ?27,
    phases = ?28
WHERE key = ?1

-- name: begin
UPDATE sw_job SET ready = NULL, state = ?2, reason = ?3, version = ?4, attempt = ?5, crashes = ?6, epoch = ?7,
    session = ?8, token = ?9, plan = ?10, plan_generation = ?11, next_seq = ?12, last_event_pos = ?13, phases = ?14
WHERE key = ?1

-- name: go_on
UPDATE sw_job SET version = ?2, crashes = ?3, next_seq = ?4, last_event_pos = ?5, phases = ?6 WHERE key = ?1

-- name: end
UPDATE sw_job SET state = ?2, reason = ?3, version = ?4, crashes = ?5, epoch = ?6, session = NULL, token = NULL,
    finished_at = ?7, next_seq = ?8, last_event_pos = ?9, phases = ?10
WHERE key = ?1

-- name: set_elements
UPDATE sw_job SET elements = ?2 WHERE key = ?1

-- name: delete
DELETE FROM sw_job WHERE key = ?1

-- name: live_holder
SELECT uuid FROM sw_job WHERE unique_live = ?2 AND kind = ?1

-- name: newest_holder
SELECT uuid, enqueued_at FROM sw_job WHERE unique_key = ?2 AND kind = ?1 ORDER BY key DESC LIMIT 1
