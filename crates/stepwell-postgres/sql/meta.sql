-- name: create
WITH meta AS (INSERT INTO stepwell.meta (generation) VALUES ($1)),
     tail AS (INSERT INTO stepwell.log_tail (floor_pos, walk_pos) VALUES (1, 0))
INSERT INTO stepwell.log_head (next_pos, clock) VALUES (1, $2)

-- name: begin
-- Whether nothing may be written; and the queues of which only so many jobs may run at once: whoever frees a place there
-- says so.
SELECT sealed, ARRAY(SELECT name FROM stepwell.queue WHERE at_once IS NOT NULL) FROM stepwell.meta

-- name: begin_pooled
-- The same where the server behind the pooler may be another one than in the last transaction, and then what is asked at
-- the beginning of a connection.
SELECT meta.sealed, ARRAY(SELECT name FROM stepwell.queue WHERE at_once IS NOT NULL), meta.generation,
    meta.generation_n, head.next_pos - 1, stepwell.timeline(), meta.timeline, meta.timeline_pos, meta.is_awaited,
    meta.sealed
FROM stepwell.meta meta CROSS JOIN stepwell.log_head head

-- name: standing
-- Which log it is, how far it goes, and whether the server is the one that has written it.
SELECT meta.generation, meta.generation_n, head.next_pos - 1, stepwell.timeline(), meta.timeline, meta.timeline_pos,
    meta.is_awaited, meta.sealed
FROM stepwell.meta meta CROSS JOIN stepwell.log_head head

-- name: begin_generation
-- Of the nodes that find out that the log is another one, one does this.
UPDATE stepwell.meta SET generation = $1, generation_n = generation_n + 1, timeline = stepwell.timeline(),
    timeline_pos = $3
WHERE generation_n = $2 AND NOT sealed

-- name: begin_timeline
-- Of the nodes that find out that another server writes the same log, one does this before anything is written.
UPDATE stepwell.meta SET timeline = stepwell.timeline(), timeline_pos = $2
WHERE generation_n = $1 AND timeline IS DISTINCT FROM stepwell.timeline() AND NOT sealed

-- name: await
UPDATE stepwell.meta SET is_awaited = NOT is_awaited WHERE is_awaited <> $1 AND NOT sealed

-- name: log
SELECT head.next_pos, tail.floor_pos, head.clock FROM stepwell.log_head head CROSS JOIN stepwell.log_tail tail

-- name: head
SELECT next_pos FROM stepwell.log_head

-- name: lock_tail
SELECT walk_pos, floor_pos FROM stepwell.log_tail FOR UPDATE

-- name: write_tail
UPDATE stepwell.log_tail SET walk_pos = $1, floor_pos = $2

-- name: count
-- In one order, so that two connections that share a part do not wait for each other in a circle.
INSERT INTO stepwell.counter AS counter (part, queue, kind, state, n)
SELECT $1, queue, kind, state, n FROM unnest($2::integer[], $3::integer[], $4::smallint[], $5::bigint[])
    AS delta (queue, kind, state, n)
ORDER BY queue, kind, state
ON CONFLICT (part, queue, kind, state) DO UPDATE SET n = counter.n + excluded.n

-- name: count_of_state
SELECT coalesce(sum(n), 0)::bigint FROM stepwell.counter WHERE state = $1

-- name: counts
SELECT queue, kind, state, sum(n)::bigint FROM stepwell.counter GROUP BY queue, kind, state HAVING sum(n) <> 0

-- name: running_in_queue
SELECT coalesce(sum(n), 0)::bigint FROM stepwell.counter WHERE queue = $1 AND state IN (1, 2)

-- name: waiting_kinds
SELECT kind FROM stepwell.counter WHERE queue = $1 AND state = 0 GROUP BY kind HAVING sum(n) > 0

-- name: name_id
SELECT id, name FROM stepwell.name WHERE name = ANY($1)

-- name: name_of
SELECT id, name FROM stepwell.name WHERE id = ANY($1)

-- name: insert_name
INSERT INTO stepwell.name (name) VALUES ($1) ON CONFLICT (name) DO NOTHING RETURNING id

-- name: process
SELECT pg_backend_pid()

-- name: synchronous
SELECT current_setting('synchronous_commit')
