SELECT row_to_json(shown) FROM (SELECT * FROM stepwell.stepwell_events ORDER BY pos) shown
