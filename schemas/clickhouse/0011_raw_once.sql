-- Raw samples are known by their place in the log (store/raw.py): one that is written again is the same row. Those of
-- before have none; they stay where they are until their time is up.
RENAME TABLE IF EXISTS samples TO samples_of_no_place;

CREATE TABLE IF NOT EXISTS raw_samples
(
    series_id UInt64 CODEC(Delta, ZSTD),
    timestamp_ms Int64 CODEC(DoubleDelta, ZSTD),
    value Float64 CODEC(ZSTD(3)),
    place Int64 CODEC(Delta, ZSTD)
)
ENGINE = ReplacingMergeTree PARTITION BY intDiv(timestamp_ms, 604800000) ORDER BY (series_id, timestamp_ms, place)
SETTINGS merge_with_ttl_timeout = 172800, materialize_ttl_recalculate_only = 1, min_compress_block_size = 1048576;

CREATE VIEW IF NOT EXISTS samples AS
SELECT series_id, timestamp_ms, value FROM raw_samples FINAL
UNION ALL SELECT series_id, timestamp_ms, value FROM samples_of_no_place;

INSERT INTO applied (name, value, applied_ms) SELECT 'retention', '', toUnixTimestamp64Milli(now64(3));
