-- The one clock of all nodes is the database's. This is where it is read; everything else gets the time as a parameter.

-- name: read
SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
