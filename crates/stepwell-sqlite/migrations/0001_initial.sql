-- The first schema. A migration that was released is never edited; a change is a new file.
--
-- The file may be the application's own, so every name has a prefix: `sw_` is private and may change with any release,
-- `stepwell_` is a contract, documented in docs/sql.md.

-- One row: the head of the log, and what must be read before anything is written. It is read at the beginning of each
-- write transaction and written once at its end, so that positions and keys cost no table of their own.
CREATE TABLE sw_meta (
    one          INTEGER PRIMARY KEY CHECK (one = 1),
    generation   BLOB NOT NULL,              -- of the event log; a new one after a restore that lost its tail
    next_pos     INTEGER NOT NULL,           -- the `pos` that the next event gets
    floor_pos    INTEGER NOT NULL,           -- the first `pos` that is still kept
    next_job_key INTEGER NOT NULL,           -- never given twice, unlike a rowid
    walk_pos     INTEGER NOT NULL,           -- how far retention has read the log
    clock        INTEGER NOT NULL,           -- the latest time that was ever recorded
    sealed       INTEGER NOT NULL DEFAULT 0  -- the store is being copied, and nothing may be written
);

-- Kinds, queues, phases and plan hashes as small integers. A name is never removed.
CREATE TABLE sw_name (
    id   INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE
);

-- The hot row. Columns that change together with every transition are few, and no index but "ready" and "owned" has to
-- be touched when a job is claimed and completed: the other indexes stand on columns that stay NULL for such a job.
CREATE TABLE sw_job (
    key                 INTEGER PRIMARY KEY,   -- from sw_meta.next_job_key: in the order of enqueueing
    uuid                BLOB NOT NULL,
    kind                INTEGER NOT NULL,
    queue               INTEGER NOT NULL,
    home_queue          INTEGER NOT NULL,
    priority            INTEGER NOT NULL,
    max_crashes         INTEGER NOT NULL,
    enqueued_at         INTEGER NOT NULL,
    available_at        INTEGER NOT NULL,
    expires_at          INTEGER,
    unique_key          TEXT,
    unique_live         TEXT,                  -- the unique key, while the job has not ended
    ready               INTEGER,               -- 1 ready, 0 waits for its time, NULL not pending
    state               INTEGER NOT NULL,
    reason              INTEGER,
    version             INTEGER NOT NULL,
    run                 INTEGER NOT NULL,
    attempt             INTEGER NOT NULL,
    crashes             INTEGER NOT NULL,
    epoch               INTEGER NOT NULL,
    session             INTEGER,               -- sw_session.n
    token               BLOB,
    plan                INTEGER,               -- the plan's hash, a name
    plan_generation     INTEGER,
    cancel_requested_at INTEGER,
    cancel_deadline     INTEGER,
    finished_at         INTEGER,
    failed_at           INTEGER,               -- finished_at, if the job failed
    cancelled_at        INTEGER,               -- finished_at, if the job was cancelled
    next_seq            INTEGER NOT NULL,
    last_event_pos      INTEGER NOT NULL,
    elements            INTEGER NOT NULL DEFAULT 0,  -- whether sw_element has rows of this job
    details             TEXT,                  -- JSON; NULL for the defaults
    phases              TEXT NOT NULL          -- JSON, in the order in which they ran, then in plan order
);
CREATE UNIQUE INDEX sw_job_uuid ON sw_job (uuid);
-- One range per queue and kind, so that jobs of a kind that nobody works cost the others nothing. The key comes last by
-- itself.
CREATE INDEX sw_job_ready ON sw_job (queue, kind, priority DESC, available_at) WHERE ready = 1;
CREATE INDEX sw_job_scheduled ON sw_job (available_at) WHERE ready = 0;
CREATE INDEX sw_job_owned ON sw_job (session) WHERE session IS NOT NULL;
CREATE INDEX sw_job_overdue ON sw_job (cancel_deadline) WHERE cancel_deadline IS NOT NULL;
CREATE INDEX sw_job_expires ON sw_job (expires_at) WHERE expires_at IS NOT NULL AND ready IS NOT NULL;
CREATE INDEX sw_job_unique ON sw_job (unique_key, kind) WHERE unique_key IS NOT NULL;
-- The belt: the operations look first, and never run into this.
CREATE UNIQUE INDEX sw_job_unique_live ON sw_job (unique_live, kind) WHERE unique_live IS NOT NULL;
CREATE INDEX sw_job_failed ON sw_job (failed_at) WHERE failed_at IS NOT NULL;
CREATE INDEX sw_job_cancelled ON sw_job (cancelled_at) WHERE cancelled_at IS NOT NULL;

CREATE TABLE sw_payload (job_key INTEGER PRIMARY KEY, body TEXT NOT NULL);
-- Results too large for the job's row.
CREATE TABLE sw_result (
    job_key INTEGER NOT NULL, phase INTEGER NOT NULL, body TEXT NOT NULL,
    UNIQUE (job_key, phase)
);
-- Results that an operator discarded, by the run that they belonged to.
CREATE TABLE sw_archive (
    job_key INTEGER NOT NULL, phase INTEGER NOT NULL, run INTEGER NOT NULL, body TEXT NOT NULL,
    UNIQUE (job_key, phase, run)
);
CREATE TABLE sw_checkpoint (
    job_key INTEGER NOT NULL, phase INTEGER NOT NULL, body TEXT NOT NULL,
    UNIQUE (job_key, phase)
);
CREATE TABLE sw_element (
    job_key INTEGER NOT NULL, phase INTEGER NOT NULL, idx INTEGER NOT NULL,
    input_hash TEXT NOT NULL, result TEXT NOT NULL,
    UNIQUE (job_key, phase, idx)
);
CREATE TABLE sw_log (
    job_key INTEGER NOT NULL, n INTEGER NOT NULL, at INTEGER NOT NULL, phase TEXT, text TEXT NOT NULL,
    PRIMARY KEY (job_key, n)
) WITHOUT ROWID;
CREATE TABLE sw_tag (tag TEXT NOT NULL, job_key INTEGER NOT NULL, PRIMARY KEY (tag, job_key)) WITHOUT ROWID;
CREATE TABLE sw_attribute (
    key TEXT NOT NULL, value TEXT NOT NULL, job_key INTEGER NOT NULL,
    PRIMARY KEY (key, value, job_key)
) WITHOUT ROWID;

-- The log. One row holds all that one transition said: `n` events, the last of which has `last_pos` and `last_job_seq`.
CREATE TABLE sw_event (
    last_pos     INTEGER PRIMARY KEY,
    n            INTEGER NOT NULL,
    job_key      INTEGER NOT NULL,
    job_uuid     BLOB NOT NULL,
    kind         INTEGER NOT NULL,
    queue        INTEGER NOT NULL,
    last_job_seq INTEGER NOT NULL,
    run          INTEGER NOT NULL,
    at           INTEGER NOT NULL,
    types        INTEGER NOT NULL,  -- a bit per type of event
    prev_pos     INTEGER NOT NULL,  -- the row of this job before; 0 for the first
    data         TEXT NOT NULL      -- a JSON list
);

-- How far durable readers have read the log. Retention never passes them.
CREATE TABLE sw_cursor (name TEXT PRIMARY KEY, pos INTEGER NOT NULL) WITHOUT ROWID;

CREATE TABLE sw_counter (
    queue INTEGER NOT NULL, kind INTEGER NOT NULL, state INTEGER NOT NULL, n INTEGER NOT NULL,
    PRIMARY KEY (queue, kind, state)
) WITHOUT ROWID;

CREATE TABLE sw_plan (
    kind INTEGER NOT NULL, hash TEXT NOT NULL, generation INTEGER NOT NULL, spec TEXT NOT NULL,
    PRIMARY KEY (kind, hash)
) WITHOUT ROWID;

CREATE TABLE sw_queue (name INTEGER PRIMARY KEY, paused_at INTEGER, paused_reason TEXT);

CREATE TABLE sw_session (
    n          INTEGER PRIMARY KEY,       -- from sw_meta.next_job_key, so never given twice
    id         BLOB NOT NULL UNIQUE,
    slot       INTEGER NOT NULL UNIQUE,   -- in the side file of heartbeats
    pid        INTEGER NOT NULL,
    node       TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    kinds      TEXT NOT NULL,
    queues     TEXT NOT NULL,
    dead       INTEGER NOT NULL DEFAULT 0
);

-- The inbox. Columns have no type, so that a row of the wrong shape can be taken in and refused where it is seen.
CREATE TABLE stepwell_inbox (
    n INTEGER PRIMARY KEY,
    id NOT NULL,
    v NOT NULL,
    kind NOT NULL,
    payload NOT NULL,
    queue,
    priority,
    delay_ms,
    run_at,
    unique_key,
    unique_within_ms,
    idempotency_key,
    tags,
    attributes
);
CREATE TABLE sw_inbox_done (
    id              NOT NULL UNIQUE,   -- 16 bytes, or what stood there instead of a UUID
    job_id          BLOB,
    error           TEXT,
    idempotency_key TEXT,
    at              INTEGER NOT NULL
);
CREATE INDEX sw_inbox_done_key ON sw_inbox_done (idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX sw_inbox_done_at ON sw_inbox_done (at);

CREATE VIEW stepwell_jobs AS
SELECT lower(printf('%s-%s-%s-%s-%s', substr(hex(job.uuid), 1, 8), substr(hex(job.uuid), 9, 4),
           substr(hex(job.uuid), 13, 4), substr(hex(job.uuid), 17, 4), substr(hex(job.uuid), 21))) AS id,
       kind.name AS kind,
       queue.name AS queue,
       CASE job.state WHEN 0 THEN 'pending' WHEN 1 THEN 'running' WHEN 2 THEN 'cancelling' WHEN 3 THEN 'completed'
           WHEN 4 THEN 'failed' WHEN 5 THEN 'cancelled' END AS state,
       CASE job.reason WHEN 0 THEN 'retrying' WHEN 1 THEN 'snoozed' WHEN 2 THEN 'interrupted' WHEN 3 THEN 'released'
           WHEN 4 THEN 'handed_over' WHEN 5 THEN 'retried' WHEN 6 THEN 'permanent' WHEN 7 THEN 'tries_spent'
           WHEN 8 THEN 'poisoned' WHEN 9 THEN 'expired' WHEN 10 THEN 'requested' WHEN 11 THEN 'forced' END AS reason,
       job.priority AS priority,
       job.run AS run,
       job.attempt AS attempt,
       job.crashes AS crashes,
       job.version AS version,
       job.epoch AS epoch,
       job.unique_key AS unique_key,
       plan.name AS plan_hash,
       job.plan_generation AS plan_generation,
       job.enqueued_at AS enqueued_at,
       job.available_at AS available_at,
       job.expires_at AS expires_at,
       job.cancel_requested_at AS cancel_requested_at,
       job.finished_at AS finished_at,
       coalesce(json_extract(job.details, '$.tags'), '[]') AS tags,
       coalesce(json_extract(job.details, '$.attributes'), '{}') AS attributes,
       json_extract(job.details, '$.failure.phase') AS failed_phase,
       json_extract(job.details, '$.failure.message') AS error,
       payload.body AS payload
FROM sw_job job
JOIN sw_name kind ON kind.id = job.kind
JOIN sw_name queue ON queue.id = job.queue
LEFT JOIN sw_name plan ON plan.id = job.plan
LEFT JOIN sw_payload payload ON payload.job_key = job.key;

CREATE VIEW stepwell_phases AS
SELECT lower(printf('%s-%s-%s-%s-%s', substr(hex(job.uuid), 1, 8), substr(hex(job.uuid), 9, 4),
           substr(hex(job.uuid), 13, 4), substr(hex(job.uuid), 17, 4), substr(hex(job.uuid), 21))) AS job_id,
       phase.key AS position,
       phase.value ->> 'name' AS name,
       phase.value ->> 'state' AS state,
       coalesce(phase.value ->> 'tries', 0) AS tries,
       phase.value ->> 'maxTries' AS max_tries,
       phase.value ->> 'queue' AS queue,
       coalesce(phase.value -> '$.result.inline', large.body) AS result,
       phase.value ->> '$.result.bytes' AS result_bytes,
       phase.value ->> '$.result.hash' AS result_hash,
       coalesce(phase.value ->> 'interrupted', 0) AS interrupted,
       phase.value ->> 'error' AS error,
       phase.value ->> 'startedAt' AS started_at,
       phase.value ->> 'finishedAt' AS finished_at
FROM sw_job job
JOIN json_each(job.phases) phase
LEFT JOIN sw_name stored ON stored.name = coalesce(phase.value ->> 'storedAs', phase.value ->> 'name')
LEFT JOIN sw_result large
    ON large.job_key = job.key AND large.phase = stored.id AND phase.value ->> '$.result.hash' IS NOT NULL;

CREATE VIEW stepwell_events AS
SELECT event.last_pos - event.n + 1 + draft.key AS pos,
       CASE draft.value ->> 'type' WHEN 'job:deleted' THEN NULL
           ELSE lower(printf('%s-%s-%s-%s-%s', substr(hex(event.job_uuid), 1, 8), substr(hex(event.job_uuid), 9, 4),
               substr(hex(event.job_uuid), 13, 4), substr(hex(event.job_uuid), 17, 4),
               substr(hex(event.job_uuid), 21))) END AS job_id,
       event.last_job_seq - event.n + 1 + draft.key AS job_seq,
       draft.value ->> 'type' AS type,
       event.at AS at,
       coalesce(draft.value -> 'data', '{}') AS data,
       kind.name AS kind,
       queue.name AS queue,
       event.run AS run,
       draft.value ->> 'phase' AS phase,
       draft.value ->> 'attempt' AS attempt
FROM sw_event event
JOIN json_each(event.data) draft
JOIN sw_name kind ON kind.id = event.kind
JOIN sw_name queue ON queue.id = event.queue;
