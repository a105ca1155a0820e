-- name: newest
SELECT spec, hash, generation FROM sw_plan WHERE kind = ?1 ORDER BY generation DESC LIMIT 1

-- name: all
SELECT hash, generation FROM sw_plan WHERE kind = ?1

-- name: put
INSERT INTO sw_plan (kind, hash, generation, spec) VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (kind, hash) DO UPDATE SET generation = excluded.generation, spec = excluded.spec

-- name: queue
SELECT paused_at, paused_reason, at_once FROM sw_queue WHERE name = ?1

-- name: queues
SELECT paused_at, paused_reason, at_once, sw_name.name FROM sw_queue JOIN sw_name ON sw_name.id = sw_queue.name
ORDER BY sw_name.name

-- name: put_queue
INSERT INTO sw_queue (name, paused_at, paused_reason, at_once) VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (name) DO UPDATE SET
    paused_at = excluded.paused_at, paused_reason = excluded.paused_reason, at_once = excluded.at_once

-- name: limited
SELECT name FROM sw_queue WHERE at_once IS NOT NULL
