SELECT * FROM stepwell_jobs ORDER BY id
