-- Makes the partition of a day. Attaching one keeps nobody from reading or writing the others. Where it is there
-- already, as it nearly always is, nobody is waited for; and whoever is in the way of making it holds up the others for
-- no longer than this.
CREATE OR REPLACE FUNCTION stepwell.open_day(wanted integer) RETURNS void LANGUAGE plpgsql SET lock_timeout = '2s'
AS $body$
DECLARE
    part text := format('event_d%s', wanted);
BEGIN
    IF to_regclass(format('stepwell.%I', part)) IS NOT NULL THEN
        RETURN;
    END IF;
    -- Two nodes may come at once.
    PERFORM pg_advisory_xact_lock(hashtextextended('stepwell.event', 0));
    IF to_regclass(format('stepwell.%I', part)) IS NULL THEN
        EXECUTE format('CREATE TABLE stepwell.%I (LIKE stepwell.event INCLUDING DEFAULTS)', part);
        EXECUTE format('ALTER TABLE stepwell.event ATTACH PARTITION stepwell.%I FOR VALUES FROM (%s) TO (%s)',
            part, wanted, wanted + 1);
    END IF;
END
$body$;

-- Drops the partitions of days before this one that are empty. Answers with how many. It takes a lock that everybody is
-- in the way of: what is not free soon is left for the next time.
CREATE FUNCTION stepwell.drop_days(before integer) RETURNS integer LANGUAGE plpgsql SET lock_timeout = '200ms'
AS $body$
DECLARE
    part text;
    is_used boolean;
    dropped integer := 0;
BEGIN
    FOR part IN
        SELECT child.relname FROM pg_inherits link
        JOIN pg_class child ON child.oid = link.inhrelid
        WHERE link.inhparent = 'stepwell.event'::regclass AND child.relname ~ '^event_d-?[0-9]+$'
            AND substr(child.relname, 8)::integer < before
        ORDER BY child.relname LIMIT 10
    LOOP
        EXECUTE format('SELECT EXISTS (SELECT 1 FROM stepwell.%I)', part) INTO is_used;
        IF NOT is_used THEN
            -- Nobody writes to it from here on, and so it stays empty.
            EXECUTE format('LOCK TABLE stepwell.%I IN ACCESS EXCLUSIVE MODE', part);
            EXECUTE format('SELECT EXISTS (SELECT 1 FROM stepwell.%I)', part) INTO is_used;
            IF NOT is_used THEN
                EXECUTE format('DROP TABLE stepwell.%I', part);
                dropped := dropped + 1;
            END IF;
        END IF;
    END LOOP;
    RETURN dropped;
EXCEPTION WHEN lock_not_available THEN
    RETURN 0;
END
$body$;
