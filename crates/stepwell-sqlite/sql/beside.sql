-- What belongs to a job but does not stand in its row.

-- name: payload
SELECT body FROM sw_payload WHERE job_key = ?1

-- name: insert_payload
INSERT OR FAIL INTO sw_payload (job_key, body)
VALUES (?, ?)

-- name: update_payload
UPDATE sw_payload SET body = ?2 WHERE job_key = ?1

-- name: delete_payload
DELETE FROM sw_payload WHERE job_key = ?1

-- name: result
SELECT body FROM sw_result WHERE job_key = ?1 AND phase = ?2

-- name: put_result
INSERT INTO sw_result (job_key, phase, body) VALUES (?1, ?2, ?3)
ON CONFLICT (job_key, phase) DO UPDATE SET body = excluded.body

-- name: delete_result
DELETE FROM sw_result WHERE job_key = ?1 AND phase = ?2

-- name: delete_results
DELETE FROM sw_result WHERE job_key = ?1

-- name: archive_inline
INSERT OR REPLACE INTO sw_archive (job_key, phase, run, body) VALUES (?1, ?2, ?3, ?4)

-- name: archive_large
INSERT OR REPLACE INTO sw_archive (job_key, phase, run, body)
SELECT job_key, phase, ?3, body FROM sw_result WHERE job_key = ?1 AND phase = ?2

-- name: delete_archive
DELETE FROM sw_archive WHERE job_key = ?1

-- name: checkpoint
SELECT body FROM sw_checkpoint WHERE job_key = ?1 AND phase = ?2

-- name: put_checkpoint
INSERT INTO sw_checkpoint (job_key, phase, body) VALUES (?1, ?2, ?3)
ON CONFLICT (job_key, phase) DO UPDATE SET body = excluded.body

-- name: delete_checkpoint
DELETE FROM sw_checkpoint WHERE job_key = ?1 AND phase = ?2

-- name: delete_checkpoints
DELETE FROM sw_checkpoint WHERE job_key = ?1

-- name: elements
SELECT idx, input_hash, result FROM sw_element WHERE job_key = ?1 AND phase = ?2 ORDER BY idx

-- name: element
SELECT input_hash, result FROM sw_element WHERE job_key = ?1 AND phase = ?2 AND idx = ?3

-- name: put_element
INSERT INTO sw_element (job_key, phase, idx, input_hash, result) VALUES (?1, ?2, ?3, ?4, ?5)
ON CONFLICT (job_key, phase, idx) DO UPDATE SET input_hash = excluded.input_hash, result = excluded.result

-- name: delete_elements
DELETE FROM sw_element WHERE job_key = ?1 AND phase = ?2

-- name: delete_all_elements
DELETE FROM sw_element WHERE job_key = ?1

-- name: has_elements
SELECT EXISTS (SELECT 1 FROM sw_element WHERE job_key = ?1)

-- name: log
SELECT at, phase, text FROM sw_log WHERE job_key = ?1 ORDER BY n

-- name: last_line
SELECT coalesce(max(n), 0) FROM sw_log WHERE job_key = ?1

-- name: insert_line
INSERT INTO sw_log (job_key, n, at, phase, text) VALUES (?1, ?2, ?3, ?4, ?5)

-- name: trim_log
DELETE FROM sw_log WHERE job_key = ?1 AND n <= ?2

-- name: delete_log
DELETE FROM sw_log WHERE job_key = ?1

-- name: insert_tag
INSERT OR IGNORE INTO sw_tag (tag, job_key) VALUES (?1, ?2)

-- name: has_tag
SELECT EXISTS (
    SELECT 1 FROM sw_tag tag CROSS JOIN sw_job job WHERE tag.tag = ?2 AND job.key = tag.job_key AND job.kind = ?1
)

-- name: delete_tag
DELETE FROM sw_tag WHERE tag = ?1 AND job_key = ?2

-- name: insert_attribute
INSERT OR IGNORE INTO sw_attribute (key, value, job_key) VALUES (?1, ?2, ?3)

-- name: delete_attribute
DELETE FROM sw_attribute WHERE key = ?1 AND value = ?2 AND job_key = ?3
