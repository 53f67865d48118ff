-- A changed retention (store/retention.py) reads the columns it follows from, and rewrites only what has expired.
ALTER TABLE rollups MODIFY SETTING materialize_ttl_recalculate_only = 1;

ALTER TABLE samples MODIFY SETTING materialize_ttl_recalculate_only = 1;
