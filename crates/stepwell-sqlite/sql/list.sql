-- The driving order of a list. The reader looks at each row and stops after a bounded number of them.

-- name: newest_first
SELECT job.* FROM sw_job job WHERE job.key < ?1 ORDER BY job.key DESC

-- name: oldest_first
SELECT job.* FROM sw_job job WHERE job.key > ?1 ORDER BY job.key

-- name: tag_newest_first
SELECT job.* FROM sw_tag tag CROSS JOIN sw_job job
WHERE tag.tag = ?2 AND tag.job_key < ?1 AND job.key = tag.job_key ORDER BY tag.job_key DESC

-- name: tag_oldest_first
SELECT job.* FROM sw_tag tag CROSS JOIN sw_job job
WHERE tag.tag = ?2 AND tag.job_key > ?1 AND job.key = tag.job_key ORDER BY tag.job_key

-- name: attribute_newest_first
SELECT job.* FROM sw_attribute attribute CROSS JOIN sw_job job
WHERE attribute.key = ?2 AND attribute.value = ?3 AND attribute.job_key < ?1 AND job.key = attribute.job_key
ORDER BY attribute.job_key DESC

-- name: attribute_oldest_first
SELECT job.* FROM sw_attribute attribute CROSS JOIN sw_job job
WHERE attribute.key = ?2 AND attribute.value = ?3 AND attribute.job_key > ?1 AND job.key = attribute.job_key
ORDER BY attribute.job_key

-- name: unique
SELECT job.key FROM sw_job job WHERE job.unique_key = ?1 ORDER BY job.key

-- name: failed
SELECT job.key FROM sw_job job WHERE job.failed_at IS NOT NULL

-- name: cancelled
SELECT job.key FROM sw_job job WHERE job.cancelled_at IS NOT NULL

-- name: owned
SELECT job.key FROM sw_job job WHERE job.session IS NOT NULL

-- name: pending
SELECT job.key FROM sw_job job INDEXED BY sw_job_ready WHERE job.ready = 1
UNION ALL
SELECT job.key FROM sw_job job INDEXED BY sw_job_scheduled WHERE job.ready = 0

-- name: failed_first
SELECT job.* FROM sw_job job WHERE job.failed_at IS NOT NULL ORDER BY job.failed_at, job.key LIMIT ?1

-- name: cancelled_first
SELECT job.* FROM sw_job job WHERE job.cancelled_at IS NOT NULL ORDER BY job.cancelled_at, job.key LIMIT ?1
