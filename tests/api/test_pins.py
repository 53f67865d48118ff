"""Which model answers can be held and let go, by those with the scope for it."""

import hashlib
import time

import httpx
import pytest

from tests.running import eventually, start, stop

SECRETS = {"write": "secret-of-a-writer", "admin": "secret-of-an-admin"}


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    lines = [f"{s}:read+{s}:{hashlib.sha256(secret.encode()).hexdigest()}" for s, secret in SECRETS.items()]
    env = {"FORESHOCK_AUTH_TOKENS": ",".join(lines), "FORESHOCK_MODELS_KINDS": "logistic,knn"}
    process, url = start(tmp_path_factory.mktemp("pins") / "data", "--no-collect", env=env)
    now = int(time.time() * 1000)
    lines = [{"entity": "e", "metric": "m", "timestamp": now - 600_000 + i * 5000, "value": i % 7} for i in range(120)]
    assert httpx.post(f"{url}/api/v1/samples", json={"samples": lines}, headers=token("write")).status_code == 202
    yield url
    stop(process)


def token(scope):
    return {"Authorization": f"Bearer {SECRETS[scope]}"}


def card(url, model):
    answer = httpx.get(f"{url}/api/v1/models/{model}", headers=token("admin"))
    return answer.json() if answer.status_code == 200 else {}


def test_a_model_is_pinned_by_an_admin_alone_and_let_go(url):
    eventually(lambda: card(url, "1m.pooled.knn").get("champion"), False, seconds=60)
    where = f"{url}/api/v1/models/1m.pooled.knn/pin"
    assert httpx.post(where, json={}, headers=token("write")).status_code == 403
    assert httpx.post(where, json={"colour": 1}, headers=token("admin")).status_code == 400
    assert httpx.post(f"{url}/api/v1/models/none/pin", headers=token("admin")).status_code == 404
    assert httpx.post(where, json={"pinned": True}, headers=token("admin")).json()["pinned"] is True
    eventually(lambda: card(url, "1m.pooled.knn").get("pinned"), True, seconds=60)
    assert card(url, "1m.pooled.knn")["champion"] and not card(url, "1m.pooled.logistic")["champion"]
    assert httpx.post(where, json={"pinned": False}, headers=token("admin")).status_code == 200
    eventually(lambda: card(url, "1m.pooled.logistic").get("champion"), True, seconds=60)


def test_what_a_model_says_of_itself_is_there_by_period(url):
    pooled = card(url, "1m.pooled.logistic")
    assert set(pooled["periods"]) and {"windows", "roc_auc", "brier", "calibration_error"} <= set(
        next(iter(pooled["periods"].values()))
    )
    assert {"roc_curve", "calibration_curve", "average_precision", "lead_time", "incidents"} <= set(pooled)
