-- Completes a phase inside a transaction of the application's own. What it leaves is described in
-- stepwell-core/src/store/settled.rs: the result among the elements of the phase, at a place that no list reaches.
--
-- It runs with the rights of whoever owns it, so that an application needs to be allowed this and nothing else. Whoever
-- calls it must know the token of the claim: 128 random bits.
CREATE FUNCTION stepwell.complete_in(
    wanted text, claim bigint, secret text, running text, stored_as text, output text
) RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $body$
DECLARE
    owned bigint;
    number integer;
BEGIN
    -- Whoever seals the store waits for those who have read this.
    IF (SELECT meta.sealed FROM stepwell.meta meta) THEN
        RAISE EXCEPTION 'the store is sealed, because it is being copied, or was copied to another place';
    END IF;
    -- The fence. It locks the row, and looks at it again if it had to wait: from here to the commit nobody else changes
    -- the job, and who has changed it before is seen.
    UPDATE stepwell.job job SET elements = true
    WHERE job.uuid = wanted::uuid AND job.epoch = claim AND job.token = secret::uuid AND job.state IN (1, 2)
        AND EXISTS (
            SELECT 1 FROM json_array_elements(job.phases::json) phase (value)
            WHERE phase.value ->> 'name' = running AND phase.value ->> 'state' = 'running'
        )
    RETURNING job.key INTO owned;
    IF owned IS NULL THEN
        RETURN 'lease lost';
    END IF;
    SELECT name.id INTO number FROM stepwell.name name WHERE name.name = stored_as;
    IF number IS NULL THEN
        INSERT INTO stepwell.name (name) VALUES (stored_as) ON CONFLICT (name) DO NOTHING;
        SELECT name.id INTO number FROM stepwell.name name WHERE name.name = stored_as;
    END IF;
    INSERT INTO stepwell.element AS element (job_key, phase, idx, input_hash, result)
    VALUES (owned, number, 2147483647, claim::text, output)
    ON CONFLICT (job_key, phase, idx) DO UPDATE SET input_hash = excluded.input_hash, result = excluded.result
    WHERE element.input_hash <> excluded.input_hash;
    IF NOT FOUND THEN
        RETURN 'twice';
    END IF;
    -- Others may wait for the row. A transaction that stands still from here on is ended by the server, and with it
    -- everything in it.
    IF (SELECT setting.setting::bigint NOT BETWEEN 1 AND 5000 FROM pg_settings setting
        WHERE setting.name = 'idle_in_transaction_session_timeout')
    THEN
        PERFORM set_config('idle_in_transaction_session_timeout', '5s', true);
    END IF;
    RETURN 'done';
END
$body$;
REVOKE ALL ON FUNCTION stepwell.complete_in FROM PUBLIC;
