-- name: by_key
SELECT scope, key, version, at, value FROM stepwell.setting WHERE scope = $1 AND key = $2

-- name: by_keys
SELECT setting.scope, setting.key, version, at, value
FROM unnest($1::text[], $2::text[]) AS wanted (scope, key)
JOIN stepwell.setting setting ON setting.scope = wanted.scope AND setting.key = wanted.key COLLATE "C"

-- name: ascending
SELECT scope, key, version, at, value FROM stepwell.setting
WHERE scope = $1 AND key >= $2 AND starts_with(key, $2) AND ($3::text IS NULL OR key > $3)
ORDER BY key LIMIT $4

-- name: descending
SELECT scope, key, version, at, value FROM stepwell.setting
WHERE scope = $1 AND key >= $2 AND starts_with(key, $2) AND ($3::text IS NULL OR key < $3)
ORDER BY key DESC LIMIT $4

-- name: put
-- Only over what the writer has seen: 0 stands for nothing. No row means that another node was faster.
INSERT INTO stepwell.setting AS setting (scope, key, version, at, value) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (scope, key) DO UPDATE SET version = excluded.version, at = excluded.at, value = excluded.value
WHERE setting.version = $6

-- name: remove
-- Likewise.
DELETE FROM stepwell.setting WHERE scope = $1 AND key = $2 AND version = $3

-- name: revision
SELECT revision FROM stepwell.scope WHERE scope = $1

-- name: hold_revision
-- Nobody writes to the scope until this transaction has ended.
SELECT revision FROM stepwell.scope WHERE scope = $1 FOR SHARE

-- name: revise
INSERT INTO stepwell.scope AS scope (scope, revision) VALUES ($1, 1)
ON CONFLICT (scope) DO UPDATE SET revision = scope.revision + 1
RETURNING revision

-- name: prune
DELETE FROM stepwell.setting WHERE scope = $1 AND key IN (
    SELECT key FROM stepwell.setting WHERE scope = $1 AND at <= $2 LIMIT $3
)

-- name: cursor
SELECT pos FROM stepwell.cursor WHERE name = $1

-- name: lock_cursor
SELECT pos FROM stepwell.cursor WHERE name = $1 FOR UPDATE

-- name: make_cursor
INSERT INTO stepwell.cursor (name, pos) VALUES ($1, $2)

-- name: move_cursor
UPDATE stepwell.cursor SET pos = $2 WHERE name = $1
