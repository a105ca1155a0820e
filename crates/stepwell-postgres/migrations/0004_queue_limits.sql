-- How many jobs of a queue may run at once in all processes together; NULL for any number.
ALTER TABLE stepwell.queue ADD COLUMN at_once integer;
-- Each transaction looks for these, and mostly there are none.
CREATE INDEX queue_limited ON stepwell.queue (name) WHERE at_once IS NOT NULL;
