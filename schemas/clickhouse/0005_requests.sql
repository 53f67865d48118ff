CREATE TABLE IF NOT EXISTS requests
(
    partition Int64, log_offset Int64 CODEC(DoubleDelta, ZSTD), digest Int64, written DateTime DEFAULT now()
)
ENGINE = ReplacingMergeTree ORDER BY (partition, log_offset, digest)
TTL written + INTERVAL 1 DAY;
