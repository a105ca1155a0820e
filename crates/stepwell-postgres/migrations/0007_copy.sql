-- What a store keeps of a copy that it is an end of: one row, or none.
CREATE TABLE stepwell.copy (
    one       boolean PRIMARY KEY DEFAULT true CHECK (one),
    id        uuid NOT NULL,      -- of the copy
    is_source boolean NOT NULL,   -- otherwise it is the destination, and not whole yet
    peer      text NOT NULL,      -- the other end, for people
    done      boolean NOT NULL,   -- whether the copy was made
    -- What has arrived: the tables before this one, and so many records of it.
    arrived   text NOT NULL,
    records   bigint NOT NULL
);

-- What an application is told that puts something into the inbox of a sealed store.
CREATE FUNCTION stepwell.refuse_sealed() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    RAISE EXCEPTION 'the store is sealed, because it is being copied, or was copied to another place';
END
$body$;
