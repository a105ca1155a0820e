-- What a store keeps of a copy that it is an end of: one row, or none.
CREATE TABLE sw_copy (
    one       INTEGER PRIMARY KEY CHECK (one = 1),
    id        BLOB NOT NULL,      -- of the copy
    is_source INTEGER NOT NULL,   -- otherwise it is the destination, and not whole yet
    peer      TEXT NOT NULL,      -- the other end, for people
    done      INTEGER NOT NULL,   -- whether the copy was made
    -- What has arrived: the tables before this one, and so many records of it.
    arrived   TEXT NOT NULL,
    records   INTEGER NOT NULL
);
