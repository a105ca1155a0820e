SELECT * FROM stepwell_phases ORDER BY job_id, position
