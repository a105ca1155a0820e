-- What a process is, how it is, and what is wanted of it. A program of an earlier release says and sees none of it.
ALTER TABLE sw_session ADD COLUMN about TEXT;                          -- JSON
ALTER TABLE sw_session ADD COLUMN state INTEGER NOT NULL DEFAULT 0;    -- 0 running, 1 quiet, 2 stopping
ALTER TABLE sw_session ADD COLUMN desired INTEGER NOT NULL DEFAULT 0;  -- 0 run, 1 quiet, 2 terminate
