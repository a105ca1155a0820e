-- The one statement of the inbox contract (docs/sql.md), as PostgreSQL has it. Any program may write it, in any
-- transaction.
INSERT INTO stepwell.stepwell_inbox (
    id, v, kind, payload, queue, priority, delay_ms, run_at, unique_key, unique_within_ms, tags, attributes
)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)
