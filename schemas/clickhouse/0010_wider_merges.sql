-- So many parts are merged at once that a row is merged less often on its way into a large one; the parts that a query
-- meets stay as few.
ALTER TABLE rollups MODIFY SETTING merge_selector_base = 10;
