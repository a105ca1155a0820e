-- Makes the partition of a day, as before. But of two nodes that come at once the second may not see what the first has
-- made although it waited for it: what it knows of the tables it learned before, and a lock of this kind does not tell it
-- to look again. It is there all the same.
CREATE OR REPLACE FUNCTION stepwell.open_day(wanted integer) RETURNS void LANGUAGE plpgsql SET lock_timeout = '2s'
AS $body$
DECLARE
    part text := format('event_d%s', wanted);
BEGIN
    IF to_regclass(format('stepwell.%I', part)) IS NOT NULL THEN
        RETURN;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('stepwell.event', 0));
    IF to_regclass(format('stepwell.%I', part)) IS NULL THEN
        EXECUTE format('CREATE TABLE stepwell.%I (LIKE stepwell.event INCLUDING DEFAULTS)', part);
        EXECUTE format('ALTER TABLE stepwell.event ATTACH PARTITION stepwell.%I FOR VALUES FROM (%s) TO (%s)',
            part, wanted, wanted + 1);
    END IF;
EXCEPTION WHEN duplicate_table THEN
    NULL;
END
$body$;
