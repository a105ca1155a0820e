-- name: register
-- A row of its own for a connection that commits. Those of nodes that are long gone go.
WITH gone AS (DELETE FROM stepwell.committer WHERE at < $2)
INSERT INTO stepwell.committer (n, at) VALUES (0, $1) RETURNING id

-- name: mark
UPDATE stepwell.committer SET n = $2, at = $3 WHERE id = $1 RETURNING n

-- name: fate
-- Whether this transaction was committed. One that is still open holds the row, and then there is no answer yet.
--
-- The number of the transaction itself does not tell: after a crash the server gives out again the numbers of those
-- that it had not written down, and what is asked about may be somebody else's by then.
SELECT n = $2 FROM stepwell.committer WHERE id = $1 FOR UPDATE NOWAIT
