-- One queue and one kind, but with all the columns that several would need.
CREATE TABLE IF NOT EXISTS job (
    id          INTEGER PRIMARY KEY,
    uuid        BLOB    NOT NULL UNIQUE,
    queue       INTEGER NOT NULL,
    kind        INTEGER NOT NULL,
    state       INTEGER NOT NULL, -- 0 pending, 1 running, 2 completed
    priority    INTEGER NOT NULL,
    run_at      INTEGER NOT NULL,
    attempt     INTEGER NOT NULL DEFAULT 0,
    epoch       INTEGER NOT NULL DEFAULT 0,
    token       BLOB,
    owner       INTEGER,
    phases      TEXT    NOT NULL, -- JSON
    next_seq    INTEGER NOT NULL,
    created_at  INTEGER NOT NULL,
    finished_at INTEGER
);
CREATE INDEX IF NOT EXISTS job_ready ON job (queue, priority, run_at) WHERE state = 0;
CREATE INDEX IF NOT EXISTS job_owned ON job (owner) WHERE state = 1;
CREATE INDEX IF NOT EXISTS job_ended ON job (finished_at) WHERE state >= 2;

-- Apart, because the job's row is written again with every transition and the payload never.
CREATE TABLE IF NOT EXISTS payload (
    job  INTEGER PRIMARY KEY,
    body TEXT NOT NULL
);

-- One row per transition; what it says in several events is in `data`.
CREATE TABLE IF NOT EXISTS event (
    pos     INTEGER PRIMARY KEY AUTOINCREMENT,
    job     INTEGER NOT NULL,
    job_seq INTEGER NOT NULL,
    kind    INTEGER NOT NULL,
    at      INTEGER NOT NULL,
    data    TEXT
);
