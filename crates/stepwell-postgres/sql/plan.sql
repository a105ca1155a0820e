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
SELECT paused_at, paused_reason FROM stepwell.queue WHERE name = $1

-- name: queues
SELECT name.name, paused_at, paused_reason FROM stepwell.queue JOIN stepwell.name ON name.id = queue.name
ORDER BY name.name COLLATE "C"

-- name: put_queue
INSERT INTO stepwell.queue (name, paused_at, paused_reason) VALUES ($1, $2, $3)
ON CONFLICT (name) DO UPDATE SET paused_at = excluded.paused_at, paused_reason = excluded.paused_reason
