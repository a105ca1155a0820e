-- What a process is, how it is, and what is wanted of it. A node of an earlier release says and sees none of it.
ALTER TABLE stepwell.session
    ADD COLUMN about text,                            -- JSON
    ADD COLUMN beat_at bigint,
    ADD COLUMN state smallint NOT NULL DEFAULT 0,     -- 0 running, 1 quiet, 2 stopping
    ADD COLUMN desired smallint NOT NULL DEFAULT 0,   -- 0 run, 1 quiet, 2 terminate
    ADD COLUMN desired_n bigint NOT NULL DEFAULT 0;   -- how often something else was wanted
