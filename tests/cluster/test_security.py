"""TLS and SASL against a real broker: the whole product through them, and who is refused."""

import os
import socket
import ssl
import subprocess
import threading
import time

import httpx
import pytest

from schemas.errors import SinkError
from store.base import ServerOptions, open_store
from tests.cluster.brokers import Brokers
from tests.cluster.services import ClickhouseServer
from tests.running import CLI, eventually, start, stop, tool

PASSWORD = "pass-word with spaces"


@pytest.fixture(scope="module")
def secured(tmp_path_factory):
    """A broker that wants TLS and SCRAM-SHA-512, and the environment of a user that it knows."""
    folder = tmp_path_factory.mktemp("secured")
    openssl = [tool("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    made = [
        *openssl,
        "-addext",
        "subjectAltName=IP:127.0.0.1",
        "-keyout",
        folder / "key.pem",
        "-out",
        folder / "ca.pem",
    ]
    subprocess.run(made, check=True, capture_output=True)
    both = folder / "keystore.pem"
    both.write_text((folder / "key.pem").read_text() + (folder / "ca.pem").read_text())
    properties = f"""ssl.keystore.type=PEM
ssl.keystore.location={both}
sasl.enabled.mechanisms=SCRAM-SHA-512
listener.name.client.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
"""
    scram = (f"SCRAM-SHA-512=[name=foreshock,password={PASSWORD}]",)
    with Brokers(folder / "kafka", secure=properties, scram=scram) as brokers:
        yield {
            "FORESHOCK_BROKER_URL": brokers.url,
            "FORESHOCK_BROKER_USERNAME": "foreshock",
            "FORESHOCK_BROKER_PASSWORD": PASSWORD,
            "FORESHOCK_BROKER_TLS": "true",
            "FORESHOCK_BROKER_TLS_CA": str(folder / "ca.pem"),
        }


@pytest.mark.cluster
def test_samples_go_through_tls_and_scram_to_rollups(secured, tmp_path):
    process, url = start(tmp_path / "data", "--no-collect", env=secured)
    try:
        now = int(time.time() * 1000) // 10_000 * 10_000 - 60_000
        samples = [{"entity": "e", "metric": "m", "timestamp": now + i * 1000, "value": i} for i in range(30)]
        assert httpx.post(f"{url}/api/v1/samples", json={"samples": samples}).status_code == 202
        query = {"entity": "e", "rollup": "10s", "stat": "sum", "from": now, "to": now + 20_000}
        wanted = [[now, 45.0], [now + 10_000, 145.0]]
        eventually(lambda: httpx.get(f"{url}/api/v1/range", params=query).json()["data"], wanted, seconds=60)
        stop(process)
    finally:
        process.kill()
        process.wait()


@pytest.mark.cluster
@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"FORESHOCK_BROKER_PASSWORD": "wrong-secret"}, "cannot reach broker"),
        ({"FORESHOCK_BROKER_TLS_CA": ""}, "cannot reach broker"),
        ({"FORESHOCK_BROKER_TLS_CA": "/does/not/exist.pem"}, "cannot use broker.tls_ca"),
        ({"FORESHOCK_BROKER_MECHANISM": "SCRAM-MD5"}, "want one of PLAIN, SCRAM-SHA-256, SCRAM-SHA-512"),
        ({"FORESHOCK_BROKER_TLS_CERT": "x.pem"}, "without broker.tls_key"),
    ],
)
def test_a_refused_client_says_why_and_never_its_secret(secured, tmp_path, changed, said):
    environment = dict(os.environ) | secured | changed | {"FORESHOCK_STORE_URL": f"embedded://{tmp_path / 'store'}"}
    checked = subprocess.run([*CLI, "check"], capture_output=True, text=True, env=environment, timeout=120)
    assert checked.returncode == 1
    assert said in checked.stderr and "Traceback" not in checked.stderr
    assert "wrong-secret" not in checked.stderr and PASSWORD not in checked.stderr


def forward(listener, context, port):
    """Take TLS connections until the listener is closed, and hand their bytes on to a plain port."""

    def pump(source, sink):
        try:
            while data := source.recv(1 << 16):
                sink.sendall(data)
        except OSError:
            pass
        finally:
            sink.close()

    while True:
        try:
            plain, _ = listener.accept()
            secured = context.wrap_socket(plain, server_side=True)
        except ssl.SSLError:
            continue  # a client that does not trust us
        except OSError:
            return
        behind = socket.create_connection(("127.0.0.1", port))
        for pair in ((secured, behind), (behind, secured)):
            threading.Thread(target=pump, args=pair, daemon=True).start()


@pytest.mark.cluster
def test_a_clickhouse_server_is_spoken_to_by_tls_and_one_that_is_not_trusted_is_refused(tmp_path):
    made = [tool("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    made += ["-addext", "subjectAltName=DNS:localhost", "-keyout", tmp_path / "key.pem", "-out", tmp_path / "ca.pem"]
    subprocess.run(made, check=True, capture_output=True)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tmp_path / "ca.pem", tmp_path / "key.pem")
    with ClickhouseServer(tmp_path / "server") as server, socket.create_server(("127.0.0.1", 0)) as listener:
        port = int(server.url.split(":")[-1].split("/")[0])
        threading.Thread(target=forward, args=(listener, context, port), daemon=True).start()
        url = f"clickhouse://default@localhost:{listener.getsockname()[1]}/foreshock"
        store = open_store(url, ServerOptions(tls=True, ca=str(tmp_path / "ca.pem")))
        store.open()
        assert store.select("SELECT 7 AS seven")["seven"].tolist() == [7]
        store.close()
        with pytest.raises(SinkError, match="(?i)certificate"):
            open_store(url, ServerOptions(tls=True)).open()
