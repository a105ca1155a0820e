-- How many jobs of a queue may run at once in all processes together; NULL for any number.
ALTER TABLE sw_queue ADD COLUMN at_once INTEGER;
