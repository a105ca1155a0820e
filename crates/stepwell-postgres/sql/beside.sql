-- What belongs to a job but does not stand in its row.

-- name: payload
SELECT body FROM stepwell.payload WHERE job_key = $1

-- name: payloads
SELECT job_key, body FROM stepwell.payload WHERE job_key = ANY($1)

-- name: insert_payloads
INSERT INTO stepwell.payload (job_key, body) SELECT * FROM unnest($1::bigint[], $2::text[])

-- name: update_payloads
UPDATE stepwell.payload payload SET body = new.body FROM unnest($1::bigint[], $2::text[]) AS new (key, body)
WHERE payload.job_key = new.key

-- name: result
SELECT body FROM stepwell.result WHERE job_key = $1 AND phase = $2

-- name: put_results
INSERT INTO stepwell.result (job_key, phase, body) SELECT * FROM unnest($1::bigint[], $2::integer[], $3::text[])
ON CONFLICT (job_key, phase) DO UPDATE SET body = excluded.body

-- name: delete_result
DELETE FROM stepwell.result WHERE job_key = $1 AND phase = $2

-- name: archive_inline
INSERT INTO stepwell.archive (job_key, phase, run, body) VALUES ($1, $2, $3, $4)
ON CONFLICT (job_key, phase, run) DO UPDATE SET body = excluded.body

-- name: archive_large
INSERT INTO stepwell.archive (job_key, phase, run, body)
SELECT job_key, phase, $3, body FROM stepwell.result WHERE job_key = $1 AND phase = $2
ON CONFLICT (job_key, phase, run) DO UPDATE SET body = excluded.body

-- name: checkpoint
SELECT body FROM stepwell.checkpoint WHERE job_key = $1 AND phase = $2

-- name: put_checkpoints
INSERT INTO stepwell.checkpoint (job_key, phase, body) SELECT * FROM unnest($1::bigint[], $2::integer[], $3::text[])
ON CONFLICT (job_key, phase) DO UPDATE SET body = excluded.body

-- name: delete_checkpoints
DELETE FROM stepwell.checkpoint checkpoint USING unnest($1::bigint[], $2::integer[]) AS gone (key, phase)
WHERE checkpoint.job_key = gone.key AND checkpoint.phase = gone.phase

-- name: elements
SELECT idx, input_hash, result FROM stepwell.element WHERE job_key = $1 AND phase = $2 ORDER BY idx

-- name: element
SELECT input_hash, result FROM stepwell.element WHERE job_key = $1 AND phase = $2 AND idx = $3

-- name: put_elements
INSERT INTO stepwell.element (job_key, phase, idx, input_hash, result)
SELECT * FROM unnest($1::bigint[], $2::integer[], $3::integer[], $4::text[], $5::text[])
ON CONFLICT (job_key, phase, idx) DO UPDATE SET input_hash = excluded.input_hash, result = excluded.result

-- name: delete_elements
DELETE FROM stepwell.element WHERE job_key = $1 AND phase = $2

-- name: has_elements
SELECT EXISTS (SELECT 1 FROM stepwell.element WHERE job_key = $1)

-- name: log
SELECT at, phase, text FROM stepwell.log WHERE job_key = $1 ORDER BY n

-- name: insert_lines
INSERT INTO stepwell.log (job_key, at, phase, text)
SELECT key, at, phase, text FROM unnest($1::bigint[], $2::bigint[], $3::text[], $4::text[])
    WITH ORDINALITY AS line (key, at, phase, text, nth)
ORDER BY nth

-- name: trim_log
DELETE FROM stepwell.log log USING (
    SELECT key, (SELECT n FROM stepwell.log WHERE job_key = key ORDER BY n DESC OFFSET $2 LIMIT 1) AS last
    FROM unnest($1::bigint[]) AS key
) gone WHERE log.job_key = gone.key AND log.n <= gone.last

-- name: index
WITH tag AS (
    INSERT INTO stepwell.tag (job_key, tag) SELECT * FROM unnest($1::bigint[], $2::text[]) ON CONFLICT DO NOTHING
)
INSERT INTO stepwell.attribute (job_key, key, value) SELECT * FROM unnest($3::bigint[], $4::text[], $5::text[])
ON CONFLICT DO NOTHING

-- name: unindex
WITH tag AS (DELETE FROM stepwell.tag WHERE job_key = ANY($1))
DELETE FROM stepwell.attribute WHERE job_key = ANY($1)

-- name: has_tag
SELECT EXISTS (
    SELECT 1 FROM stepwell.tag tag JOIN stepwell.job job ON job.key = tag.job_key WHERE tag.tag = $2 AND job.kind = $1
)
