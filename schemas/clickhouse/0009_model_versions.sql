-- Models as they were on each of the last thirty days, as the first snapshot of the day (UTC) holds them. Their scored
-- windows are those of model_windows, which are kept longer.
CREATE TABLE IF NOT EXISTS model_versions
(
    partition Int64, rollup LowCardinality(String), saved_ms Int64, resume_offset Int64, body String CODEC(ZSTD)
)
ENGINE = ReplacingMergeTree ORDER BY (partition, rollup, saved_ms)
TTL toDateTime(intDiv(saved_ms, 1000)) + INTERVAL 30 DAY;
