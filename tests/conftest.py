"""Services and deployments that several tests share."""

import httpx
import pytest

from tests.cluster.brokers import Brokers
from tests.cluster.services import clickhouse

httpx._config.DEFAULT_TIMEOUT_CONFIG.read = 60  # five seconds are too few on a busy machine


@pytest.fixture(scope="module")
def services(tmp_path_factory):
    """The environment that points a process at three real brokers and a ClickHouse server.

    Each file has its own: entities, alerts and members of groups that another file's tests left would be met otherwise.
    """
    folder = tmp_path_factory.mktemp("services")
    with Brokers(folder / "kafka", nodes=3) as brokers, clickhouse(folder / "clickhouse") as store:
        yield {"FORESHOCK_BROKER_URL": brokers.url, "FORESHOCK_STORE_URL": store, "FORESHOCK_BROKER_PARTITIONS": "2"}


@pytest.fixture(params=["embedded", pytest.param("kafka and clickhouse", marks=pytest.mark.cluster)])
def deployment(request):
    """What the same end-to-end test runs on: parts in the process, or real ones."""
    return {} if request.param == "embedded" else request.getfixturevalue("services")
