"""What the migrations become on a ClickHouse cluster; the engine here parses each statement."""

import re
from pathlib import Path

import pytest

import schemas
from schemas.errors import ForeshockError, SettingsError
from store.base import ServerOptions, open_store
from store.chdb import ChdbStore
from store.cluster import on_cluster

RETENTION = [
    "ALTER TABLE rollups MODIFY TTL written + INTERVAL 5 SECOND DELETE WHERE rollup = '10s'",
    "ALTER TABLE rollups MATERIALIZE TTL SETTINGS mutations_sync = 0",
    "ALTER TABLE samples REMOVE TTL",
]
DEFINES = ("CREATE", "ALTER", "DROP", "RENAME")


def migrations():
    for path in sorted((Path(schemas.__file__).parent / "clickhouse").glob("[0-9]*.sql")):
        yield from filter(str.strip, re.split(r";\s*(?:\n|$)", path.read_text(encoding="utf-8")))


def definitions():
    plain = [re.sub(r"^\s*--[^\n]*\n", "", sql, flags=re.M).strip() for sql in migrations()]
    return [sql for sql in plain if sql.startswith(DEFINES)] + RETENTION


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    store = ChdbStore(str(tmp_path_factory.mktemp("engine") / "store"))
    store.open()
    yield store
    store.close()


def test_every_definition_of_every_migration_is_one_for_the_whole_cluster_and_parses(engine):
    plain = definitions()
    made = [sql for one in plain for sql in on_cluster(one, "site-1")]
    assert len(plain) > 15
    for sql in made:
        assert "ON CLUSTER 'site-1'" in sql, sql
        engine.select(f"EXPLAIN AST {sql}")
    for name in {found[1] for sql in plain if (found := re.match(r"CREATE TABLE IF NOT EXISTS (\w+)", sql))}:
        local = [sql for sql in made if sql.startswith(f"CREATE TABLE IF NOT EXISTS {name}_local ")]
        front = [sql for sql in made if sql.startswith(f"CREATE TABLE IF NOT EXISTS {name} ")]
        assert len(local) == len(front) >= 1, name
        for sql in local:
            assert re.search(r"ENGINE = Replicated(Replacing|Aggregating)?MergeTree", sql), sql
            assert "non_replicated" not in sql
        for sql in front:
            assert f"Distributed('site-1', currentDatabase(), {name}_local, cityHash64(" in sql


def test_rows_that_replace_each_other_are_on_one_shard():
    for sql in definitions():
        if re.search("ENGINE = (Replacing|Aggregating)MergeTree", sql):
            key = set(re.split(r"[,\s]+", re.search(r"ORDER BY \(?([\w, ]+)", sql)[1].strip()))
            shard = re.search(r"cityHash64\(([\w, ]+)\)", on_cluster(sql, "c")[1])[1]
            assert set(re.split(r"[,\s]+", shard)) <= key, sql


def test_what_only_reads_and_writes_stays_as_it_is():
    for sql in ("SELECT 1 AS one", "INSERT INTO rollups (a) SELECT 1"):
        assert on_cluster(sql, "c") == [sql]


def test_the_engine_would_refuse_what_does_not_parse(engine):
    with pytest.raises(ForeshockError, match="(?i)syntax"):
        engine.select("EXPLAIN AST CREATE TABLE t ON CLUSTER (x Int64 ENGINE = Memory")


def test_a_name_that_is_no_cluster_is_refused():
    with pytest.raises(SettingsError, match="store.cluster"):
        open_store("clickhouse://h/d", ServerOptions(cluster="a' OR 1"))
