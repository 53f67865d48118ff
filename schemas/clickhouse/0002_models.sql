CREATE TABLE IF NOT EXISTS verdicts
(
    rollup LowCardinality(String), entity String,
    start_ms Int64 CODEC(DoubleDelta, ZSTD), end_ms Int64 CODEC(DoubleDelta, ZSTD),
    anomaly_score Float64 CODEC(ZSTD), p_incident Float64 CODEC(ZSTD), flag UInt8 CODEC(T64, ZSTD),
    id String CODEC(ZSTD), body String CODEC(ZSTD(3)), version Int64 CODEC(Delta, ZSTD)
)
ENGINE = ReplacingMergeTree(version) ORDER BY (rollup, entity, start_ms);

CREATE TABLE IF NOT EXISTS model_states
(
    partition Int64, rollup LowCardinality(String), resume_offset Int64, saved_ms Int64, body String CODEC(ZSTD)
)
ENGINE = ReplacingMergeTree(saved_ms) ORDER BY (partition, rollup);

CREATE TABLE IF NOT EXISTS model_windows
(
    partition Int64, rollup LowCardinality(String), generation Int64, first Int64, saved_ms Int64,
    body String CODEC(ZSTD)
)
ENGINE = ReplacingMergeTree(saved_ms) ORDER BY (partition, rollup, generation, first)
TTL toDateTime(intDiv(saved_ms, 1000)) + INTERVAL 60 DAY;

CREATE TABLE IF NOT EXISTS model_cards
(
    id String, partition Int64, saved_ms Int64, body String CODEC(ZSTD)
)
ENGINE = ReplacingMergeTree(saved_ms) ORDER BY (id, partition);
