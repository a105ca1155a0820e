SELECT row_to_json(shown) FROM (SELECT * FROM stepwell.stepwell_phases ORDER BY job_id, position) shown
