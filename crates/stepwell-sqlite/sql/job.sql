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

-- name: insert_fresh
-- A job as most of them are. The other columns are those of one that has not run, has no unique key and never expires.
INSERT OR FAIL INTO sw_job (key, kind, queue, home_queue, priority, max_crashes, enqueued_at, available_at, ready, version,
    next_seq, last_event_pos, plan, plan_generation, uuid, phases, state, run, attempt, crashes, epoch)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 1, 0, 0, 0)

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
UPDATE sw_job SET ready = NULL, state = ?2, version = ?3, attempt = ?4, crashes = ?5, epoch = ?6, next_seq = ?7,
    last_event_pos = ?8, reason = ?9, session = ?10, token = ?11, plan = ?12, plan_generation = ?13, phases = ?14
WHERE key = ?1

-- name: go_on
UPDATE sw_job SET version = ?2, crashes = ?3, next_seq = ?4, last_event_pos = ?5, phases = ?6 WHERE key = ?1

-- name: end
UPDATE sw_job SET state = ?2, version = ?3, crashes = ?4, epoch = ?5, next_seq = ?6, last_event_pos = ?7, reason = ?8,
    finished_at = ?9, phases = ?10, session = NULL, token = NULL
WHERE key = ?1

-- name: set_elements
UPDATE sw_job SET elements = ?2 WHERE key = ?1

-- name: delete
DELETE FROM sw_job WHERE key = ?1

-- name: live_holder
SELECT uuid FROM sw_job WHERE unique_live = ?2 AND kind = ?1

-- name: newest_holder
SELECT uuid, enqueued_at FROM sw_job WHERE unique_key = ?2 AND kind = ?1 ORDER BY key DESC LIMIT 1
