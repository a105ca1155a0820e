-- How a phase is completed inside the application's own transaction. What it leaves is described in
-- `stepwell_core::store::settled`.

-- name: postgres
SELECT stepwell.complete_in($1, $2, $3, $4, $5, $6)

-- name: sqlite_own
-- The fence. That it writes at once is what makes it one: nobody changes the row between this and the commit.
UPDATE sw_job SET elements = 1
WHERE uuid = ?1 AND epoch = ?2 AND token = ?3 AND state IN (1, 2) AND NOT (SELECT sealed FROM sw_meta)
    AND EXISTS (
        SELECT 1 FROM json_each(phases) phase
        WHERE phase.value ->> 'name' = ?4 AND phase.value ->> 'state' = 'running'
    )
RETURNING key

-- name: sqlite_sealed
SELECT sealed FROM sw_meta

-- name: sqlite_name
INSERT INTO sw_name (name) VALUES (?1) ON CONFLICT (name) DO NOTHING

-- name: sqlite_settle
INSERT INTO sw_element AS element (job_key, phase, idx, input_hash, result)
VALUES (?1, (SELECT id FROM sw_name WHERE name = ?2), 2147483647, ?3, ?4)
ON CONFLICT (job_key, phase, idx) DO UPDATE SET input_hash = excluded.input_hash, result = excluded.result
WHERE element.input_hash <> excluded.input_hash
