ALTER TABLE rollups ADD COLUMN IF NOT EXISTS written DateTime DEFAULT now() CODEC(DoubleDelta, ZSTD);

CREATE TABLE IF NOT EXISTS touched
(
    rollup LowCardinality(String), start_ms Int64, end_ms Int64, partition Int64, touched_ms Int64
)
ENGINE = ReplacingMergeTree(touched_ms) ORDER BY (rollup, start_ms, partition)
TTL toDateTime(intDiv(touched_ms, 1000)) + INTERVAL 60 DAY;

CREATE TABLE IF NOT EXISTS merged
(
    rollup LowCardinality(String), start_ms Int64, merged_ms Int64
)
ENGINE = ReplacingMergeTree(merged_ms) ORDER BY (rollup, start_ms)
TTL toDateTime(intDiv(merged_ms, 1000)) + INTERVAL 90 DAY;

CREATE TABLE IF NOT EXISTS applied
(
    name String, value String, applied_ms Int64
)
ENGINE = ReplacingMergeTree(applied_ms) ORDER BY name;
