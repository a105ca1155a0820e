-- The driving order of a list. The reader looks at so many rows and no more, whatever the filter.

-- name: newest_first
SELECT job.row FROM stepwell.job job WHERE job.key < $1 ORDER BY job.key DESC LIMIT $2

-- name: oldest_first
SELECT job.row FROM stepwell.job job WHERE job.key > $1 ORDER BY job.key LIMIT $2

-- name: tag_newest_first
SELECT job.row FROM stepwell.tag tag JOIN stepwell.job job ON job.key = tag.job_key
WHERE tag.tag = $3 AND tag.job_key < $1 ORDER BY tag.job_key DESC LIMIT $2

-- name: tag_oldest_first
SELECT job.row FROM stepwell.tag tag JOIN stepwell.job job ON job.key = tag.job_key
WHERE tag.tag = $3 AND tag.job_key > $1 ORDER BY tag.job_key LIMIT $2

-- name: attribute_newest_first
SELECT job.row FROM stepwell.attribute attribute JOIN stepwell.job job ON job.key = attribute.job_key
WHERE attribute.key = $3 AND attribute.value = $4 AND attribute.job_key < $1
ORDER BY attribute.job_key DESC LIMIT $2

-- name: attribute_oldest_first
SELECT job.row FROM stepwell.attribute attribute JOIN stepwell.job job ON job.key = attribute.job_key
WHERE attribute.key = $3 AND attribute.value = $4 AND attribute.job_key > $1
ORDER BY attribute.job_key LIMIT $2

-- name: unique
SELECT job.key FROM stepwell.job job WHERE job.unique_key = $1

-- name: failed
SELECT job.key FROM stepwell.job job WHERE job.state = 4

-- name: cancelled
SELECT job.key FROM stepwell.job job WHERE job.state = 5

-- name: owned
SELECT job.key FROM stepwell.job job WHERE job.session IS NOT NULL

-- name: pending
SELECT job.key FROM stepwell.job job WHERE job.ready
UNION ALL
SELECT job.key FROM stepwell.job job WHERE NOT job.ready

-- name: failed_first
SELECT job.row FROM stepwell.job job WHERE job.state = 4 ORDER BY job.finished_at, job.key LIMIT $1
FOR UPDATE SKIP LOCKED

-- name: cancelled_first
SELECT job.row FROM stepwell.job job WHERE job.state = 5 ORDER BY job.finished_at, job.key LIMIT $1
FOR UPDATE SKIP LOCKED
