CREATE TABLE IF NOT EXISTS alerts
(
    fingerprint String, partition Int64, entity String, state LowCardinality(String), body String CODEC(ZSTD),
    updated_ms Int64
)
ENGINE = ReplacingMergeTree(updated_ms) ORDER BY fingerprint
TTL toDateTime(intDiv(updated_ms, 1000)) + INTERVAL 90 DAY DELETE WHERE state != 'firing';

CREATE TABLE IF NOT EXISTS silences
(
    id String, body String, updated_ms Int64
)
ENGINE = ReplacingMergeTree(updated_ms) ORDER BY id;

CREATE TABLE IF NOT EXISTS outbox
(
    id String, partition Int64, target String, state LowCardinality(String), created_ms Int64,
    body String CODEC(ZSTD), updated_ms Int64
)
ENGINE = ReplacingMergeTree(updated_ms) ORDER BY (partition, created_ms, id)
TTL toDateTime(intDiv(updated_ms, 1000)) + INTERVAL 30 DAY DELETE WHERE state != 'waiting';
