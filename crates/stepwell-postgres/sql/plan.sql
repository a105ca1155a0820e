-- name: newest
SELECT DISTINCT ON (kind) kind, hash, generation FROM stepwell.plan WHERE kind = ANY($1)
ORDER BY kind, generation DESC

-- name: spec
SELECT spec FROM stepwell.plan WHERE kind = $1 AND hash = $2

-- name: all
SELECT hash, generation FROM stepwell.plan WHERE kind = $1

-- name: lock
-- Two nodes that register at once must not give one generation to two plans.
SELECT pg_advisory_xact_lock(hashtextextended('stepwell.plan', $1))

-- name: put
INSERT INTO stepwell.plan (kind, hash, generation, spec) VALUES ($1, $2, $3, $4)
ON CONFLICT (kind, hash) DO UPDATE SET generation = excluded.generation, spec = excluded.spec

-- name: queue
SELECT paused_at, paused_reason, at_once, name FROM stepwell.queue WHERE name = $1

-- name: some_queues
SELECT paused_at, paused_reason, at_once, name FROM stepwell.queue WHERE name = ANY($1)

-- name: lock_limited
-- Of two nodes that claim from a queue with a limit, one goes without, and asks again when the other has committed: it
-- then counts what that one has claimed. A queue without a limit costs nothing but the mode in which the table is open,
-- and that keeps a limit from being set before whoever claims without one has committed.
SELECT name FROM stepwell.queue WHERE name = ANY($1) AND at_once IS NOT NULL FOR UPDATE SKIP LOCKED

-- name: hold_changes
-- One change at a time: each is made to what the one before it has left.
LOCK TABLE stepwell.queue IN SHARE ROW EXCLUSIVE MODE

-- name: hold_claims
-- The same, and nobody claims until it is committed. Whoever claims at this moment is waited for, but a node that stands
-- still in the middle of it must not hold up the others with us.
SET LOCAL lock_timeout = '2s';
LOCK TABLE stepwell.queue IN EXCLUSIVE MODE;
SET LOCAL lock_timeout = '20s'

-- name: queues
SELECT paused_at, paused_reason, at_once, name.name FROM stepwell.queue JOIN stepwell.name ON name.id = queue.name
ORDER BY name.name COLLATE "C"

-- name: put_queue
INSERT INTO stepwell.queue (name, paused_at, paused_reason, at_once) VALUES ($1, $2, $3, $4)
ON CONFLICT (name) DO UPDATE SET
    paused_at = excluded.paused_at, paused_reason = excluded.paused_reason, at_once = excluded.at_once
