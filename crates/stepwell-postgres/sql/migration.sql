-- name: begin
-- One node at a time. The lock ends with the transaction, also through a pooler.
SELECT pg_advisory_xact_lock(hashtextextended('stepwell.migration', 0))

-- name: has_schema
SELECT EXISTS (SELECT 1 FROM pg_namespace WHERE nspname = $1)

-- name: exists
SELECT EXISTS (
    SELECT 1 FROM pg_class class JOIN pg_namespace namespace ON namespace.oid = class.relnamespace
    WHERE namespace.nspname = $1 AND class.relname = 'migration'
)

-- name: create
CREATE TABLE stepwell.migration (
    version    integer PRIMARY KEY,
    name       text NOT NULL,
    sha256     text NOT NULL,
    -- Whether a release that knows only the versions before this one may go on working beside it.
    compatible boolean NOT NULL,
    applied_at bigint NOT NULL
)

-- name: applied
SELECT version, name, sha256, compatible FROM stepwell.migration ORDER BY version

-- name: record
INSERT INTO stepwell.migration (version, name, sha256, compatible, applied_at) VALUES ($1, $2, $3, $4, $5)

-- name: version
SELECT max(version) FROM stepwell.migration
