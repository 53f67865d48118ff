-- From when to when each series was seen (store/seen.py); rows of one series become the widest of them.
CREATE TABLE IF NOT EXISTS seen
(
    series_id UInt64 CODEC(Delta, ZSTD),
    first_ms SimpleAggregateFunction(min, Int64),
    last_ms SimpleAggregateFunction(max, Int64)
)
ENGINE = AggregatingMergeTree ORDER BY series_id;

INSERT INTO seen (series_id, first_ms, last_ms)
SELECT series_id, min(start_ms + toInt64(first_after)), max(start_ms + toInt64(last_after))
FROM rollups GROUP BY series_id;
