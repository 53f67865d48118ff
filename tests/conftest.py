"""Services and deployments that several tests share."""

import pytest

from tests.cluster.services import clickhouse, kafka


@pytest.fixture(scope="session")
def services(tmp_path_factory):
    """The environment that points a process at a real broker and a ClickHouse server."""
    folder = tmp_path_factory.mktemp("services")
    with kafka(folder / "kafka") as broker, clickhouse(folder / "clickhouse") as store:
        yield {"FORESHOCK_BROKER_URL": broker, "FORESHOCK_STORE_URL": store, "FORESHOCK_BROKER_PARTITIONS": "2"}


@pytest.fixture(params=["embedded", pytest.param("kafka and clickhouse", marks=pytest.mark.cluster)])
def deployment(request):
    """What the same end-to-end test runs on: parts in the process, or real ones."""
    return {} if request.param == "embedded" else request.getfixturevalue("services")
