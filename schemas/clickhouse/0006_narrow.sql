RENAME TABLE IF EXISTS rollups TO rollups_wide;

CREATE TABLE IF NOT EXISTS rollups
(
    rollup LowCardinality(String),
    series_id UInt64 CODEC(Delta, ZSTD),
    start_ms Int64 CODEC(DoubleDelta, ZSTD),
    size_s UInt32 CODEC(T64, ZSTD),
    count UInt64 CODEC(T64, ZSTD),
    -- 0: every sample of the window is `last`, and all of low … amounts is empty; 1: they differ.
    varies UInt8 CODEC(ZSTD),
    last Float64 CODEC(ZSTD),
    -- 0 where count = 1: `last` says it.
    total Float64 CODEC(ZSTD),
    low Float64 CODEC(ZSTD), high Float64 CODEC(ZSTD), head Float64 CODEC(ZSTD), sumsq Float64 CODEC(ZSTD),
    first_after UInt64 CODEC(T64, ZSTD), last_after UInt64 CODEC(T64, ZSTD),
    increase Float64 CODEC(ZSTD),
    -- Bucket keys of the sketch (schemas/buckets.py).
    key50 Int16 CODEC(ZSTD), key95 Int16 CODEC(ZSTD), key99 Int16 CODEC(ZSTD),
    keys Array(Int16) CODEC(ZSTD), amounts Array(UInt32) CODEC(ZSTD),
    version Int64 CODEC(Delta, ZSTD),
    written DateTime DEFAULT now() CODEC(DoubleDelta, ZSTD),
    end_ms Int64 ALIAS start_ms + toInt64(size_s) * 1000,
    sum Float64 ALIAS if(count = 1, last, total),
    min Float64 ALIAS if(varies = 0, last, low),
    max Float64 ALIAS if(varies = 0, last, high),
    first Float64 ALIAS if(varies = 0, last, head),
    first_ms Int64 ALIAS start_ms + toInt64(first_after),
    last_ms Int64 ALIAS start_ms + toInt64(last_after),
    p50 Float64 ALIAS if(varies = 0, last, greatest(low, least(high, if(key50 = 0, 0,
        sign(key50) * 2 * exp((abs(key50) - 8192) * 0.020000666706669435) / 2.02020202020202)))),
    p95 Float64 ALIAS if(varies = 0, last, greatest(low, least(high, if(key95 = 0, 0,
        sign(key95) * 2 * exp((abs(key95) - 8192) * 0.020000666706669435) / 2.02020202020202)))),
    p99 Float64 ALIAS if(varies = 0, last, greatest(low, least(high, if(key99 = 0, 0,
        sign(key99) * 2 * exp((abs(key99) - 8192) * 0.020000666706669435) / 2.02020202020202)))),
    sketch_keys Array(Int16) ALIAS if(varies = 1, keys, [toInt16(if(last = 0, 0,
        sign(last) * (8192 + greatest(-8000, least(8000, ceil(log(abs(last)) * (1 / 0.020000666706669435)))))))]),
    sketch_counts Array(UInt32) ALIAS if(varies = 1, amounts, [toUInt32(count)])
)
ENGINE = ReplacingMergeTree(version)
PARTITION BY (size_s >= 3600, intDiv(start_ms, if(size_s >= 3600, 60480000000, 604800000)))
ORDER BY (rollup, series_id, start_ms)
SETTINGS merge_with_ttl_timeout = 172800, index_granularity = 2048, min_compress_block_size = 16384;

INSERT INTO rollups (rollup, series_id, start_ms, size_s, count, varies, last, total, low, high, head, sumsq,
    first_after, last_after, increase, key50, key95, key99, keys, amounts, version, written)
SELECT rollup, series_id, start_ms, intDiv(end_ms - start_ms, 1000), count, min != max, last, if(count = 1, 0, sum),
    if(min = max, 0, min), if(min = max, 0, max), if(min = max, 0, first), if(min = max, 0, sumsq),
    first_ms - start_ms, last_ms - start_ms, increase,
    if(min = max, 0, sketch_keys[arrayFirstIndex(c -> c >= greatest(1, ceil(0.5 * count)), arrayCumSum(sketch_counts))]),
    if(min = max, 0, sketch_keys[arrayFirstIndex(c -> c >= greatest(1, ceil(0.95 * count)), arrayCumSum(sketch_counts))]),
    if(min = max, 0, sketch_keys[arrayFirstIndex(c -> c >= greatest(1, ceil(0.99 * count)), arrayCumSum(sketch_counts))]),
    if(min = max, [], sketch_keys), if(min = max, [], sketch_counts), version, written
FROM rollups_wide FINAL;

DROP TABLE IF EXISTS rollups_wide;

-- store/retention.py sets both tables' TTLs.
RENAME TABLE IF EXISTS samples TO samples_whole;

CREATE TABLE IF NOT EXISTS samples
(
    series_id UInt64 CODEC(Delta, ZSTD),
    timestamp_ms Int64 CODEC(DoubleDelta, ZSTD),
    value Float64 CODEC(ZSTD(3))
)
ENGINE = MergeTree PARTITION BY intDiv(timestamp_ms, 604800000) ORDER BY (series_id, timestamp_ms)
SETTINGS non_replicated_deduplication_window = 1000, merge_with_ttl_timeout = 172800,
    min_compress_block_size = 1048576;

-- Cut off and run again, it adds what is missing.
INSERT INTO samples SELECT series_id, timestamp_ms, value FROM samples_whole
WHERE (series_id, timestamp_ms, value) NOT IN (SELECT series_id, timestamp_ms, value FROM samples);

DROP TABLE IF EXISTS samples_whole;

INSERT INTO applied (name, value, applied_ms) SELECT 'retention', '', toUnixTimestamp64Milli(now64(3));
