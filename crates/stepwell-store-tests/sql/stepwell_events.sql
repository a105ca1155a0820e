SELECT * FROM stepwell_events ORDER BY pos
