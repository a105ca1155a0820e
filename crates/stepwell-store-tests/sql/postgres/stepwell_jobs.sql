SELECT row_to_json(shown) FROM (SELECT * FROM stepwell.stepwell_jobs ORDER BY id) shown
