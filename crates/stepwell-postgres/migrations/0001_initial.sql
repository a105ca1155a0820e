-- The first schema. A migration that was released is never edited; a change is a new file.
--
-- Everything lives in a schema of its own. It is called `stepwell` in these files, and whatever it is called in a
-- database is put in its place when a statement is prepared. Names that begin with `stepwell_` are a contract,
-- documented in docs/sql.md; the others are private and may change with any release.

-- What is true of the whole store. It is read in each write transaction and hardly ever written.
CREATE TABLE stepwell.meta (
    one        boolean PRIMARY KEY DEFAULT true CHECK (one),
    generation uuid NOT NULL,                   -- of the event log; a new one after a failover that lost its tail
    sealed     boolean NOT NULL DEFAULT false   -- the store is being copied, and nothing may be written
);

-- The head of the log. Whoever has this row locked gives positions; nobody waits for it.
CREATE TABLE stepwell.log_head (
    one      boolean PRIMARY KEY DEFAULT true CHECK (one),
    next_pos bigint NOT NULL,   -- the `pos` that the next event gets
    clock    bigint NOT NULL    -- the latest time that was ever recorded
);
-- Its other end, apart, so that retention and whoever gives positions do not meet.
CREATE TABLE stepwell.log_tail (
    one       boolean PRIMARY KEY DEFAULT true CHECK (one),
    floor_pos bigint NOT NULL,  -- the first `pos` that is still kept
    walk_pos  bigint NOT NULL   -- how far retention has read the log
);

CREATE SEQUENCE stepwell.job_key AS bigint;
-- Without a cache: a batch that takes its number later must get the larger one, whichever connection it is on.
CREATE SEQUENCE stepwell.batch_seq AS bigint CACHE 1;

-- Kinds, queues, phases and plan hashes as small integers. A name is never removed.
CREATE TABLE stepwell.name (
    id   integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE
);

-- The hot row. Every version of it has an entry in each index that it belongs to, so a job that runs and completes
-- stands in few: by key, by id, and by turns among the ready and the owned ones.
CREATE TABLE stepwell.job (
    key                 bigint PRIMARY KEY,    -- from job_key: in the order of enqueueing
    uuid                uuid NOT NULL,
    kind                integer NOT NULL,
    queue               integer NOT NULL,
    home_queue          integer NOT NULL,
    priority            smallint NOT NULL,
    max_crashes         integer NOT NULL,
    enqueued_at         bigint NOT NULL,
    available_at        bigint NOT NULL,
    expires_at          bigint,
    unique_key          text,
    ready               boolean,               -- true: ready; false: waits for its time; NULL: not pending
    state               smallint NOT NULL,
    reason              smallint,
    version             bigint NOT NULL,
    run                 integer NOT NULL,
    attempt             integer NOT NULL,
    crashes             integer NOT NULL,
    epoch               bigint NOT NULL,
    session             uuid,
    token               uuid,
    plan                integer,               -- the plan's hash, a name
    plan_generation     bigint,
    cancel_requested_at bigint,
    cancel_deadline     bigint,
    finished_at         bigint,
    next_seq            bigint NOT NULL,
    last_seq            bigint NOT NULL,       -- where its last events stand: the batch, and the place in it
    last_upto           integer NOT NULL,
    elements            boolean NOT NULL DEFAULT false,   -- whether `element` has rows of this job
    details             text,                  -- JSON; NULL for the defaults
    phases              text NOT NULL          -- JSON, in the order in which they ran, then in plan order
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);
CREATE UNIQUE INDEX job_uuid ON stepwell.job (uuid);
-- One range per queue and kind, so that jobs of a kind that nobody works cost the others nothing.
CREATE INDEX job_ready ON stepwell.job (queue, kind, priority DESC, available_at, key) WHERE ready;
CREATE INDEX job_scheduled ON stepwell.job (available_at) WHERE NOT ready;
CREATE INDEX job_owned ON stepwell.job (session) WHERE session IS NOT NULL;
CREATE INDEX job_overdue ON stepwell.job (cancel_deadline) WHERE cancel_deadline IS NOT NULL;
CREATE INDEX job_expires ON stepwell.job (expires_at) WHERE expires_at IS NOT NULL AND ready IS NOT NULL;
CREATE INDEX job_unique ON stepwell.job (unique_key, kind, key) WHERE unique_key IS NOT NULL;
-- The operations look first; two nodes that look at the same moment meet here.
CREATE UNIQUE INDEX job_unique_live ON stepwell.job (unique_key, kind) WHERE unique_key IS NOT NULL AND state < 3;
CREATE INDEX job_failed ON stepwell.job (finished_at, key) WHERE state = 4;
CREATE INDEX job_cancelled ON stepwell.job (finished_at, key) WHERE state = 5;

CREATE TABLE stepwell.payload (job_key bigint PRIMARY KEY, body text NOT NULL);
-- Results too large for the job's row.
CREATE TABLE stepwell.result (
    job_key bigint NOT NULL, phase integer NOT NULL, body text NOT NULL,
    PRIMARY KEY (job_key, phase)
);
-- Results that an operator discarded, by the run that they belonged to.
CREATE TABLE stepwell.archive (
    job_key bigint NOT NULL, phase integer NOT NULL, run integer NOT NULL, body text NOT NULL,
    PRIMARY KEY (job_key, phase, run)
);
CREATE TABLE stepwell.checkpoint (
    job_key bigint NOT NULL, phase integer NOT NULL, body text NOT NULL,
    PRIMARY KEY (job_key, phase)
);
CREATE TABLE stepwell.element (
    job_key bigint NOT NULL, phase integer NOT NULL, idx integer NOT NULL,
    input_hash text NOT NULL, result text NOT NULL,
    PRIMARY KEY (job_key, phase, idx)
);
CREATE TABLE stepwell.log (
    job_key bigint NOT NULL, n bigint GENERATED ALWAYS AS IDENTITY, at bigint NOT NULL, phase text, text text NOT NULL,
    PRIMARY KEY (job_key, n)
);
CREATE TABLE stepwell.tag (tag text NOT NULL, job_key bigint NOT NULL, PRIMARY KEY (tag, job_key));
CREATE INDEX tag_job ON stepwell.tag (job_key);
CREATE TABLE stepwell.attribute (
    key text NOT NULL, value text NOT NULL, job_key bigint NOT NULL,
    PRIMARY KEY (key, value, job_key)
);
CREATE INDEX attribute_job ON stepwell.attribute (job_key);

-- The log. A batch is what one transaction said, or a part of it: `n` events, the last of which has `last_pos`. It gets
-- its positions when it commits, or right after; until then nobody reads it.
CREATE TABLE stepwell.event_batch (
    seq      bigint PRIMARY KEY,
    day      integer NOT NULL,   -- the partition of its events
    n        integer NOT NULL,
    last_pos bigint
) WITH (autovacuum_vacuum_scale_factor = 0.02);
CREATE UNIQUE INDEX event_batch_pos ON stepwell.event_batch (last_pos) WHERE last_pos IS NOT NULL;
CREATE INDEX event_batch_fresh ON stepwell.event_batch (seq) WHERE last_pos IS NULL;

-- One row holds all that one transition said: `n` events. `upto` counts the events of the batch up to its last one, so
-- that its place in the log follows from the batch's, and the row itself is never written again.
CREATE TABLE stepwell.event (
    day          integer NOT NULL,
    seq          bigint NOT NULL,
    upto         integer NOT NULL,
    n            integer NOT NULL,
    job_key      bigint NOT NULL,
    job_uuid     uuid NOT NULL,
    kind         integer NOT NULL,
    queue        integer NOT NULL,
    last_job_seq bigint NOT NULL,
    run          integer NOT NULL,
    at           bigint NOT NULL,
    types        bigint NOT NULL,  -- a bit per type of event
    prev_seq     bigint NOT NULL,  -- the row of this job before; 0 for the first
    prev_upto    integer NOT NULL,
    data         text NOT NULL,    -- a JSON list
    PRIMARY KEY (day, seq, upto)
) PARTITION BY RANGE (day);

-- Makes the partition of a day. Attaching one keeps nobody from reading or writing the others.
CREATE FUNCTION stepwell.open_day(wanted integer) RETURNS void LANGUAGE plpgsql AS $body$
DECLARE
    part text := format('event_d%s', wanted);
BEGIN
    -- Two nodes may come at once.
    PERFORM pg_advisory_xact_lock(hashtextextended('stepwell.event', 0));
    IF to_regclass(format('stepwell.%I', part)) IS NULL THEN
        EXECUTE format('CREATE TABLE stepwell.%I (LIKE stepwell.event INCLUDING DEFAULTS)', part);
        EXECUTE format('ALTER TABLE stepwell.event ATTACH PARTITION stepwell.%I FOR VALUES FROM (%s) TO (%s)',
            part, wanted, wanted + 1);
    END IF;
END
$body$;

-- Gives positions to all batches that have committed and have none, and to those of the transaction that calls, in the
-- order of `seq`. Answers with the last position, or NULL if somebody else is at it.
--
-- For one job the order is right: whoever changes it after another has waited for that one's lock, so the other has
-- committed, with a smaller `seq`, and is seen here. The lock comes first and the look at the batches after it, as a
-- statement of its own: it would otherwise look with the eyes of before.
CREATE FUNCTION stepwell.number_events(at bigint, patiently boolean) RETURNS bigint LANGUAGE plpgsql AS $body$
DECLARE
    first bigint;
    added bigint;
BEGIN
    IF patiently THEN
        SELECT head.next_pos INTO first FROM stepwell.log_head head FOR UPDATE;
    ELSE
        SELECT head.next_pos INTO first FROM stepwell.log_head head FOR UPDATE SKIP LOCKED;
    END IF;
    IF first IS NULL THEN
        RETURN NULL;
    END IF;
    WITH fresh AS (
        SELECT batch.seq, batch.n, sum(batch.n) OVER (ORDER BY batch.seq) AS upto
        FROM stepwell.event_batch batch WHERE batch.last_pos IS NULL
    ), numbered AS (
        UPDATE stepwell.event_batch batch SET last_pos = first - 1 + fresh.upto
        FROM fresh WHERE batch.seq = fresh.seq
        RETURNING batch.n
    )
    SELECT coalesce(sum(numbered.n), 0) INTO added FROM numbered;
    IF added > 0 THEN
        UPDATE stepwell.log_head SET next_pos = first + added, clock = greatest(clock, at);
    END IF;
    RETURN first + added - 1;
END
$body$;

-- How far durable readers have read the log. Retention never passes them.
CREATE TABLE stepwell.cursor (name text PRIMARY KEY, pos bigint NOT NULL);

-- How many jobs there are, in parts that are added up: each connection writes to a part of its own, so that commits do
-- not wait for one another.
CREATE TABLE stepwell.counter (
    part integer NOT NULL, queue integer NOT NULL, kind integer NOT NULL, state smallint NOT NULL, n bigint NOT NULL,
    PRIMARY KEY (part, queue, kind, state)
) WITH (fillfactor = 50);

CREATE TABLE stepwell.plan (
    kind integer NOT NULL, hash text NOT NULL, generation bigint NOT NULL, spec text NOT NULL,
    PRIMARY KEY (kind, hash)
);

CREATE TABLE stepwell.queue (name integer PRIMARY KEY, paused_at bigint, paused_reason text);

CREATE TABLE stepwell.session (
    id         uuid PRIMARY KEY,
    n          bigint GENERATED ALWAYS AS IDENTITY,
    node       text NOT NULL,
    started_at bigint NOT NULL,
    expires_at bigint NOT NULL,
    kinds      text NOT NULL,
    queues     text NOT NULL,
    dead       boolean NOT NULL DEFAULT false
) WITH (fillfactor = 50);

-- Small records of the layers above: webhook endpoints, access tokens, the audit log. The store does not know what they
-- are.
CREATE TABLE stepwell.setting (
    scope   text NOT NULL,
    key     text COLLATE "C" NOT NULL,
    version bigint NOT NULL,   -- the scope's revision when it was written
    at      bigint NOT NULL,
    value   text NOT NULL,     -- JSON
    PRIMARY KEY (scope, key)
);
CREATE INDEX setting_at ON stepwell.setting (scope, at);
-- How often each scope was written. It outlives the records, so that a version never comes twice.
CREATE TABLE stepwell.scope (scope text PRIMARY KEY, revision bigint NOT NULL);

-- The inbox. An application needs USAGE of the schema and INSERT on this table, and nothing more. Columns are as wide as
-- can be, so that a row of the wrong shape is taken in and refused where it is seen.
CREATE TABLE stepwell.stepwell_inbox (
    n                bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id               text NOT NULL,
    v                bigint NOT NULL,
    kind             text NOT NULL,
    payload          text NOT NULL,
    queue            text,
    priority         bigint,
    delay_ms         bigint,
    run_at           bigint,
    unique_key       text,
    unique_within_ms bigint,
    idempotency_key  text,
    tags             text,
    attributes       text
);
CREATE TABLE stepwell.inbox_done (
    id              text PRIMARY KEY,   -- a UUID in its usual form, or what stood there instead
    job_id          uuid,
    error           text,
    idempotency_key text,
    at              bigint NOT NULL
);
CREATE INDEX inbox_done_key ON stepwell.inbox_done (idempotency_key) WHERE idempotency_key IS NOT NULL;
CREATE INDEX inbox_done_at ON stepwell.inbox_done (at);

CREATE VIEW stepwell.stepwell_jobs AS
SELECT job.uuid AS id,
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
       coalesce(job.details::json ->> 'tags', '[]') AS tags,
       coalesce(job.details::json ->> 'attributes', '{}') AS attributes,
       job.details::json #>> '{failure,phase}' AS failed_phase,
       job.details::json #>> '{failure,message}' AS error,
       payload.body AS payload
FROM stepwell.job job
JOIN stepwell.name kind ON kind.id = job.kind
JOIN stepwell.name queue ON queue.id = job.queue
LEFT JOIN stepwell.name plan ON plan.id = job.plan
LEFT JOIN stepwell.payload payload ON payload.job_key = job.key;

CREATE VIEW stepwell.stepwell_phases AS
SELECT job.uuid AS job_id,
       phase.nth - 1 AS position,
       phase.value ->> 'name' AS name,
       phase.value ->> 'state' AS state,
       coalesce((phase.value ->> 'tries')::bigint, 0) AS tries,
       (phase.value ->> 'maxTries')::bigint AS max_tries,
       phase.value ->> 'queue' AS queue,
       coalesce((phase.value #> '{result,inline}')::text, large.body) AS result,
       (phase.value #>> '{result,bytes}')::bigint AS result_bytes,
       phase.value #>> '{result,hash}' AS result_hash,
       CASE phase.value ->> 'interrupted' WHEN 'true' THEN 1 ELSE 0 END AS interrupted,
       phase.value ->> 'error' AS error,
       (phase.value ->> 'startedAt')::bigint AS started_at,
       (phase.value ->> 'finishedAt')::bigint AS finished_at
FROM stepwell.job job
CROSS JOIN json_array_elements(job.phases::json) WITH ORDINALITY phase (value, nth)
LEFT JOIN stepwell.name stored ON stored.name = coalesce(phase.value ->> 'storedAs', phase.value ->> 'name')
LEFT JOIN stepwell.result large
    ON large.job_key = job.key AND large.phase = stored.id AND phase.value #>> '{result,hash}' IS NOT NULL;

CREATE VIEW stepwell.stepwell_events AS
SELECT batch.last_pos - batch.n + event.upto - event.n + draft.nth AS pos,
       CASE draft.value ->> 'type' WHEN 'job:deleted' THEN NULL ELSE event.job_uuid END AS job_id,
       event.last_job_seq - event.n + draft.nth AS job_seq,
       draft.value ->> 'type' AS type,
       event.at AS at,
       coalesce((draft.value -> 'data')::text, '{}') AS data,
       kind.name AS kind,
       queue.name AS queue,
       event.run AS run,
       draft.value ->> 'phase' AS phase,
       (draft.value ->> 'attempt')::bigint AS attempt
FROM stepwell.event_batch batch
JOIN stepwell.event event ON event.day = batch.day AND event.seq = batch.seq
CROSS JOIN json_array_elements(event.data::json) WITH ORDINALITY draft (value, nth)
JOIN stepwell.name kind ON kind.id = event.kind
JOIN stepwell.name queue ON queue.id = event.queue
WHERE batch.last_pos IS NOT NULL;
