-- When the log is another one. A standby that takes its server's place may lack the end of it, and so does a server
-- that crashed before it had written what it acknowledged: places that were given to others are then given a second
-- time. From there on the log has another generation. A node of an earlier release goes on to tell the one that it has
-- read when it was started.
ALTER TABLE stepwell.meta
    ADD COLUMN generation_n bigint NOT NULL DEFAULT 0,    -- how many generations were before this one
    ADD COLUMN timeline text,                             -- of the server that writes; NULL if it is not known
    ADD COLUMN timeline_pos bigint NOT NULL DEFAULT 0,    -- the end of the log when that began to write
    ADD COLUMN is_awaited boolean NOT NULL DEFAULT false; -- whether commits wait for a standby, as far as was seen

-- A server that takes another one's place begins a timeline. What the control file says of it comes too late: a
-- checkpoint may be minutes away. Not everybody may ask, and not every service has an answer.
CREATE FUNCTION stepwell.timeline() RETURNS text LANGUAGE plpgsql AS $body$
BEGIN
    RETURN left(pg_walfile_name(pg_current_wal_lsn()), 8);
EXCEPTION WHEN OTHERS THEN
    RETURN NULL;
END
$body$;

UPDATE stepwell.meta SET timeline = stepwell.timeline();
