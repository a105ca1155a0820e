-- name: create
CREATE TABLE IF NOT EXISTS sw_migration (
    version    INTEGER PRIMARY KEY,
    name       TEXT NOT NULL,
    sha256     TEXT NOT NULL,
    applied_at INTEGER NOT NULL
)

-- name: exists
SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'sw_migration')

-- name: applied
SELECT version, name, sha256 FROM sw_migration ORDER BY version

-- name: record
INSERT INTO sw_migration (version, name, sha256, applied_at) VALUES (?1, ?2, ?3, ?4)

-- name: version
SELECT max(version) FROM sw_migration
