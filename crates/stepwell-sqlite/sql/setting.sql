-- name: by_key
SELECT scope, key, version, at, value FROM sw_setting WHERE scope = ?1 AND key = ?2

-- name: ascending
-- The prefix bounds the range on both sides: no key holds a character above the last one.
SELECT scope, key, version, at, value FROM sw_setting
WHERE scope = ?1 AND key >= ?2 AND key < ?2 || char(1114111) AND (?3 IS NULL OR key > ?3)
ORDER BY key LIMIT ?4

-- name: descending
SELECT scope, key, version, at, value FROM sw_setting
WHERE scope = ?1 AND key >= ?2 AND key < ?2 || char(1114111) AND (?3 IS NULL OR key < ?3)
ORDER BY key DESC LIMIT ?4

-- name: put
INSERT INTO sw_setting (scope, key, version, at, value) VALUES (?1, ?2, ?3, ?4, ?5)
ON CONFLICT (scope, key) DO UPDATE SET version = excluded.version, at = excluded.at, value = excluded.value

-- name: remove
DELETE FROM sw_setting WHERE scope = ?1 AND key = ?2

-- name: revision
SELECT coalesce((SELECT revision FROM sw_scope WHERE scope = ?1), 0)

-- name: revise
INSERT INTO sw_scope (scope, revision) VALUES (?1, 1)
ON CONFLICT (scope) DO UPDATE SET revision = revision + 1
RETURNING revision

-- name: prune
DELETE FROM sw_setting WHERE scope = ?1 AND key IN (
    SELECT key FROM sw_setting WHERE scope = ?1 AND at <= ?2 LIMIT ?3
)

-- name: cursor
SELECT pos FROM sw_cursor WHERE name = ?1

-- name: put_cursor
INSERT INTO sw_cursor (name, pos) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET pos = excluded.pos
