-- One queue and one kind, but with all the columns that several would need.
CREATE TABLE IF NOT EXISTS job (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    uuid        uuid    NOT NULL UNIQUE,
    queue       integer NOT NULL,
    kind        integer NOT NULL,
    state       integer NOT NULL, -- 0 pending, 1 running, 2 completed
    priority    integer NOT NULL,
    run_at      bigint  NOT NULL,
    attempt     integer NOT NULL DEFAULT 0,
    epoch       integer NOT NULL DEFAULT 0,
    token       uuid,
    owner       integer,
    phases      text    NOT NULL, -- JSON
    next_seq    bigint  NOT NULL,
    created_at  bigint  NOT NULL,
    finished_at bigint
);
CREATE INDEX IF NOT EXISTS job_ready ON job (queue, priority, run_at, id) WHERE state = 0;
CREATE INDEX IF NOT EXISTS job_owned ON job (owner) WHERE state = 1;
CREATE INDEX IF NOT EXISTS job_ended ON job (finished_at) WHERE state >= 2;

-- Apart, because the job's row is written again with every transition and the payload never.
CREATE TABLE IF NOT EXISTS payload (
    job  bigint PRIMARY KEY,
    body text NOT NULL
);

-- One row per transition; what it says in several events is in `data`.
CREATE TABLE IF NOT EXISTS event (
    seq     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job     bigint  NOT NULL,
    job_seq bigint  NOT NULL,
    kind    integer NOT NULL,
    at      bigint  NOT NULL,
    data    text
);
