-- What an application writes in its own transaction.
INSERT INTO stepwell.stepwell_inbox (id, v, kind, payload, queue, priority, delay_ms, run_at, unique_key,
    unique_within_ms, idempotency_key, tags, attributes)
SELECT * FROM json_to_record(:entry) AS entry (id text, v bigint, kind text, payload text, queue text, priority bigint,
    delay_ms bigint, run_at bigint, unique_key text, unique_within_ms bigint, idempotency_key text, tags text,
    attributes text)
