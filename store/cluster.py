"""The same tables on a ClickHouse cluster: what a statement becomes where tables are sharded and replicated.

Each table is a replicated one a shard, ``NAME_local``, and a Distributed one of the plain name in front, so everything
else says the plain name. All rows of one key live on one shard, else ReplacingMergeTree could not replace them.
"""

from __future__ import annotations

import re

# Which shard a row is on. Those that are not named here are by all columns of their key.
_SHARD_BY = dict.fromkeys(("series", "samples", "raw_samples", "rollups"), "series_id")
# A row is stored once most replicas have it, and whoever reads sees it: corrections are merged into what is read, so a
# replica that is behind would undo what it has not seen. A checkpoint may never be durable before what it stands for.
CLUSTER_SETTINGS = {
    "distributed_foreground_insert": 1,
    "distributed_product_mode": "global",
    "insert_quorum": "auto",
    "insert_quorum_parallel": 0,
    "select_sequential_consistency": 1,
    "distributed_ddl_task_timeout": 60,
}
_COMMENTS = re.compile(r"^\s*--[^\n]*\n", re.M)
_CREATE = re.compile(r"CREATE TABLE IF NOT EXISTS (\w+)\s*(\(.*\))\s*ENGINE = (\w*MergeTree)(\(\w+\))?\s+(.*)", re.S)
_VIEW = re.compile(r"CREATE VIEW IF NOT EXISTS (\w+) AS\s(.*)", re.S)
_ALTER = re.compile(r"ALTER TABLE (\w+) (.*)", re.S)
_RENAME = re.compile(r"RENAME TABLE IF EXISTS (\w+) TO (\w+)")
_DROP = re.compile(r"DROP TABLE IF EXISTS (\w+)")
_DATABASE = re.compile(r"CREATE DATABASE IF NOT EXISTS (\w+)")


def on_cluster(sql: str, cluster: str) -> list[str]:
    """Return the statements that do to a cluster what ``sql`` does to one server.

    cluster : its name, of letters, digits, ``_`` and ``-``. Only what defines tables differs.
    """
    plain, on = _COMMENTS.sub("", sql).strip(), f"ON CLUSTER '{cluster}'"
    if found := _DATABASE.fullmatch(plain):
        return [f"CREATE DATABASE IF NOT EXISTS {found[1]} {on}"]
    if found := _CREATE.fullmatch(plain):
        name, columns, engine, version, rest = found.groups()
        made = f"CREATE TABLE IF NOT EXISTS {name}_local {on} {columns}"
        return [
            f"{made} ENGINE = Replicated{engine}{version or ''} {_replicated(rest)}",
            _front(name, cluster, _SHARD_BY.get(name) or _key(rest)),
        ]
    if found := _VIEW.fullmatch(plain):
        return [f"CREATE VIEW IF NOT EXISTS {found[1]} {on} AS {found[2]}"]
    if found := _RENAME.fullmatch(plain):
        old, new = found.groups()
        # The old front would look for what is gone; the new one is only read from.
        renamed = f"RENAME TABLE IF EXISTS {old}_local TO {new}_local {on}"
        return [f"DROP TABLE IF EXISTS {old} {on} SYNC", renamed, _front(new, cluster, "tuple()")]
    if found := _DROP.fullmatch(plain):
        return [f"DROP TABLE IF EXISTS {name} {on} SYNC" for name in (found[1], f"{found[1]}_local")]
    if found := _ALTER.fullmatch(plain):
        name, change = found.groups()
        local = f"ALTER TABLE {name}_local {on} {change}"
        if re.match(r"(MODIFY|REMOVE|MATERIALIZE) TTL|(MODIFY|RESET) SETTING", change):
            return [local]  # of parts of data, which a Distributed table has none of
        return [local, f"ALTER TABLE {name} {on} {_without_codecs(change)}"]
    return [sql]


def _front(name: str, cluster: str, key: str) -> str:
    return (
        f"CREATE TABLE IF NOT EXISTS {name} ON CLUSTER '{cluster}' AS {name}_local"
        f" ENGINE = Distributed('{cluster}', currentDatabase(), {name}_local, cityHash64({key}))"
    )


def _key(rest: str) -> str:
    found = re.search(r"ORDER BY (\([^)]*\)|\w+)", rest)
    assert found, "BUG: a table without ORDER BY"
    return found[1].strip("()")


def _replicated(rest: str) -> str:
    """Replicated tables remember inserts too, under a setting of another name."""
    return rest.replace("non_replicated_deduplication_window", "replicated_deduplication_window")


def _without_codecs(change: str) -> str:
    return re.sub(r"\s+CODEC\((?:[^()]|\([^()]*\))*\)", "", change)
