-- What an application writes in its own transaction.
INSERT INTO stepwell_inbox (id, v, kind, payload, queue, priority, delay_ms, run_at, unique_key, unique_within_ms,
    idempotency_key, tags, attributes)
VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
