-- One row for each connection that commits: how many transactions it has begun to commit. Each of them writes its own
-- number, so that it can be asked later whether it was committed.
CREATE TABLE stepwell.committer (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    n  bigint NOT NULL,
    at bigint NOT NULL
) WITH (fillfactor = 20, autovacuum_vacuum_scale_factor = 0.02);
