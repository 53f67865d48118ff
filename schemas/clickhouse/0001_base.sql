CREATE TABLE IF NOT EXISTS series
(
    series_id UInt64, entity String, metric String, key String, labels Map(String, String), kind LowCardinality(String)
)
ENGINE = ReplacingMergeTree ORDER BY series_id;

CREATE TABLE IF NOT EXISTS samples
(
    series_id UInt64 CODEC(Delta, ZSTD),
    timestamp_ms Int64 CODEC(DoubleDelta, ZSTD),
    value Float64 CODEC(ZSTD)
)
ENGINE = MergeTree ORDER BY (series_id, timestamp_ms)
TTL toDateTime(intDiv(timestamp_ms, 1000)) + INTERVAL 7 DAY
SETTINGS non_replicated_deduplication_window = 1000;

CREATE TABLE IF NOT EXISTS rollups
(
    rollup LowCardinality(String),
    series_id UInt64 CODEC(Delta, ZSTD),
    start_ms Int64 CODEC(DoubleDelta, ZSTD),
    end_ms Int64 CODEC(DoubleDelta, ZSTD),
    count UInt64 CODEC(T64, ZSTD),
    sum Float64 CODEC(ZSTD), min Float64 CODEC(ZSTD), max Float64 CODEC(ZSTD), sumsq Float64 CODEC(ZSTD),
    first Float64 CODEC(ZSTD), last Float64 CODEC(ZSTD),
    first_ms Int64 CODEC(DoubleDelta, ZSTD), last_ms Int64 CODEC(DoubleDelta, ZSTD),
    increase Float64 CODEC(ZSTD), p50 Float64 CODEC(ZSTD), p95 Float64 CODEC(ZSTD), p99 Float64 CODEC(ZSTD),
    sketch_keys Array(Int16) CODEC(ZSTD), sketch_counts Array(UInt32) CODEC(ZSTD),
    version Int64 CODEC(Delta, ZSTD)
)
ENGINE = ReplacingMergeTree(version) ORDER BY (rollup, series_id, start_ms);

CREATE TABLE IF NOT EXISTS checkpoints
(
    topic String, partition Int64, resume_offset Int64, floor_ms Int64, watermark_ms Int64, version Int64
)
ENGINE = ReplacingMergeTree(version) ORDER BY (topic, partition);

CREATE TABLE IF NOT EXISTS incidents
(
    id String, entity String, body String, updated_ms Int64
)
ENGINE = ReplacingMergeTree(updated_ms) ORDER BY id;
