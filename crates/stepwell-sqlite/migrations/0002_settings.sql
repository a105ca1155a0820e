-- Small records of the layers above: webhook endpoints, access tokens, the audit log. The store does not know what they
-- are.
CREATE TABLE sw_setting (
    scope   TEXT NOT NULL,
    key     TEXT NOT NULL,
    version INTEGER NOT NULL,   -- the scope's revision when it was written
    at      INTEGER NOT NULL,
    value   TEXT NOT NULL,      -- JSON
    PRIMARY KEY (scope, key)
) WITHOUT ROWID;
CREATE INDEX sw_setting_at ON sw_setting (scope, at);

-- How often each scope was written. It outlives the records, so that a version never comes twice.
CREATE TABLE sw_scope (scope TEXT PRIMARY KEY, revision INTEGER NOT NULL) WITHOUT ROWID;
