"""Hostile and too many: no request meets a bug, tokens come and go, what is refused is told when to return."""

import asyncio
import json
import os
import ssl
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.running import eventually, start, tool
from tests.unit.live.serving import Client

EVERYTHING = json.dumps({"subscribe": {"entities": ["*"], "metrics": ["*"], "rollups": ["10s"]}})


@pytest.fixture
def up(tmp_path):
    """Start the product with arguments; what it says on stderr goes to a file."""
    started = []

    def run(*arguments, env=None):
        said = (tmp_path / "stderr").open("w+")
        saved, sys.stderr = os.dup(2), sys.stderr
        os.dup2(said.fileno(), 2)
        try:
            process, url = start(tmp_path / "data", "--no-collect", *arguments, env=env)
        finally:
            os.dup2(saved, 2)
            os.close(saved)
        started.append(process)
        return url, lambda: (tmp_path / "stderr").read_text()

    yield run
    for process in started:
        process.kill()
        process.wait()


def test_no_generated_request_meets_a_bug_nor_fills_the_log(up):
    url, said = up()
    program = Path(sys.executable).with_name("schemathesis")
    arguments = ["run", f"{url}/api/v1/openapi.json", "--checks", "not_a_server_error", "-n", "25", "--seed", "1"]
    done = subprocess.run([program, *arguments, "--phases", "fuzzing"], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout[-3000:]
    assert "Traceback" not in said() and "Exception in ASGI" not in said()


def test_every_door_refuses_what_is_no_text_or_too_deep_with_a_reason(up):
    url, said = up()
    paths = httpx.get(f"{url}/api/v1/openapi.json").json()["paths"]
    posted = [path.replace("{id}", "x") for path, methods in paths.items() if "post" in methods]
    assert len(posted) > 12
    for path in posted:
        for body in (b"", b"\xff\xfe", b'{"a":"\xff"}', b"[" * 100_000, b'{"a":' * 100_000, b"null", b"0"):
            for kind in ("application/json", "text/csv", "application/x-protobuf"):
                answer = httpx.post(url + path, content=body, headers={"Content-Type": kind})
                assert answer.status_code < 500, (path, kind, body[:20], answer.text)
                if answer.status_code >= 400:
                    assert answer.headers["content-type"] == "application/problem+json" and answer.json()["detail"]
    assert "Traceback" not in said()


@pytest.mark.parametrize("zone", ["UTC", "America/Los_Angeles"])
def test_the_oldest_time_that_is_taken_stops_nothing_and_an_older_one_is_refused(up, zone):
    url, said = up(env={"FORESHOCK_WINDOWS_TIMEZONE": zone})

    def write(entity, at):
        sample = {"entity": entity, "metric": "m", "timestamp": at, "value": 1}
        return httpx.post(f"{url}/api/v1/samples", json=sample).status_code

    assert [write("old", at) for at in (-200_000_000_000_000, -62_135_596_800_000)] == [400, 400]
    assert [write("old", -2_208_988_800_000), write("new", int(time.time() * 1000) - 60_000)] == [202, 202]

    def scored(entity, begin):
        query = {"entity": entity, "rollup": "10s", "from": begin}
        return len(httpx.get(f"{url}/api/v1/verdicts", params=query).json())

    eventually(lambda: scored("old", "1900-01-01"), 1, seconds=60)
    eventually(lambda: scored("new", "-5m"), 1, seconds=60)
    for query in ("from=0001-01-01&to=9999-12-31", "from=1899-12-31&overlay=1w", "from=9999-12-01&to=9999-12-31"):
        assert httpx.get(f"{url}/api/v1/range?{query}&rollup=1mo").status_code == 200
    assert "Traceback" not in said()


def token(name, scope):
    """Return a new token's secret, and its line for the configuration."""
    made = subprocess.run(
        [sys.executable, "-c", "from foreshock.cli import main; main()", "token", name, "--scope", scope],
        capture_output=True,
        text=True,
    )
    return made.stdout.strip(), made.stderr.split('"')[1]


def test_tokens_come_and_go_without_a_restart_and_changes_are_written_down(up, tmp_path):
    tokens = tmp_path / "tokens"
    reader, reader_line = token("reader", "read")
    writer, writer_line = token("writer", "write")
    tokens.write_text(f"# who\n{reader_line}\n")
    url, said = up(env={"FORESHOCK_AUTH_TOKENS_FILE": str(tokens)})
    silence = {"matchers": [{"name": "entity", "value": "x"}], "end": "+1h", "comment": "secret words"}

    def ask(secret, method="GET", path="entities", **more):
        headers = {"Authorization": f"Bearer {secret}"}
        return httpx.request(method, f"{url}/api/v1/{path}", headers=headers, **more).status_code

    assert (ask(reader), ask(writer), ask("nobody")) == (200, 401, 401)
    assert ask(reader, "POST", "silences", json=silence) == 403
    tokens.write_text(f"{reader_line}\n{writer_line}\n")
    eventually(lambda: ask(writer, "POST", "silences", json=silence), 201, seconds=10)
    tokens.write_text("rubbish\n")
    time.sleep(1.5)
    assert ask(reader) == 200, "while the file cannot be read, those it held go on"
    tokens.write_text("")
    eventually(lambda: (ask(reader), ask(writer)), (401, 401), seconds=10)  # no token left is not: open to all
    lines = [line for line in said().splitlines() if "foreshock.audit" in line]
    assert any("POST '/api/v1/silences' by 'writer' from 127.0.0.1: 201" in line for line in lines), lines
    assert any("refused POST '/api/v1/silences' to 'reader'" in line for line in lines)
    assert "secret words" not in said() and writer not in said()


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
def test_off_loopback_it_starts_only_with_tokens_or_a_proxy_and_says_which_key_to_set(up, tmp_path, host):
    command = [sys.executable, "-c", "from foreshock.cli import main; main()", "up", "--data", str(tmp_path / "other")]
    done = subprocess.run([*command, "--host", host, "--port", "0"], capture_output=True, text=True, timeout=120)
    assert done.returncode == 1 and "ready" not in done.stdout
    assert f"cannot listen on {host}" in done.stderr and "auth.tokens" in done.stderr
    assert "auth.behind_proxy" in done.stderr
    if host == "0.0.0.0":
        secret, line = token("reader", "read")
        url, _ = up("--host", host, env={"FORESHOCK_AUTH_TOKENS": line})
        where = f"http://127.0.0.1:{url.rpartition(':')[2]}/api/v1/entities"
        assert httpx.get(where).status_code == 401
        assert httpx.get(where, headers={"Authorization": f"Bearer {secret}"}).status_code == 200


def test_a_token_comes_in_the_way_of_each_client(up):
    (writer, writer_line), (reader, reader_line) = token("writer", "write"), token("reader", "read")
    url, said = up(env={"FORESHOCK_AUTH_TOKENS": f"{writer_line},{reader_line}"})

    def write(path="/write", query=None, auth=None, **headers):
        return httpx.post(url + path, content=b"m,host=h v=1", params=query, auth=auth, headers=headers).status_code

    for secret, status in ((writer, 204), (reader, 403), ("nobody", 401)):
        assert write(auth=("telegraf", secret)) == status
        assert write(query={"db": "d", "u": "telegraf", "p": secret}) == status
        for scheme in (f"Bearer {secret}", f"Token {secret}", f"Token telegraf:{secret}", f"bearer  {secret}"):
            assert write("/api/v2/write", Authorization=scheme) == status, scheme
    for nothing in ("Basic", "Basic !!", "Basic /w==", "Basic Og==", "Digest x", "Bearer", f"Digest {writer}", writer):
        assert write(Authorization=nothing) == 401, nothing
    assert httpx.get(f"{url}/api/v1/entities", params={"p": reader}).status_code == 401, "in no other address"
    assert httpx.get(f"{url}/api/v1/entities", auth=("prometheus", reader)).status_code == 200
    assert writer not in said() and reader not in said()


def test_tls_by_certificate_files(up, tmp_path):
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-days", "2"]
    made = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", *subject]
    subprocess.run([tool("openssl"), *made, "-keyout", key, "-out", cert], check=True, capture_output=True)
    url, _ = up(env={"FORESHOCK_AUTH_TLS_CERT": str(cert), "FORESHOCK_AUTH_TLS_KEY": str(key)})
    assert url.startswith("https://")
    trusted = ssl.create_default_context(cafile=str(cert))
    assert httpx.get(f"{url}/healthz", verify=trusted).status_code == 200
    with pytest.raises(httpx.HTTPError):
        httpx.get(url.replace("https", "http") + "/healthz")
    with connect(url.replace("https", "wss") + "/api/v1/live", ssl=trusted) as live:
        live.send(EVERYTHING)
        assert json.loads(live.recv(timeout=120))["type"] == "subscribed"
        samples = [{"entity": f"e{n}", "metric": "m" * 500, "value": n} for n in range(1000)]
        assert httpx.post(f"{url}/api/v1/samples", json={"samples": samples}, verify=trusted).status_code == 202
        assert [json.loads(live.recv(timeout=120))["entity"] for _ in samples] == [one["entity"] for one in samples]


async def test_a_page_whose_name_was_made_to_lead_here_neither_reads_nor_writes(up):
    """DNS rebinding: such a page's Origin and Host agree, only its name is not ours."""
    url, said = up()
    port, sample = int(url.rpartition(":")[2]), {"entity": "e", "metric": "m", "value": 1}
    paths = httpx.get(f"{url}/api/v1/openapi.json").json()["paths"]
    asked = [(method.upper(), path.replace("{id}", "x")) for path, methods in paths.items() for method in methods]
    assert len(asked) > 30
    for method, path in [*asked, ("GET", "/"), ("GET", "/ui/app.js"), ("OPTIONS", "/api/v1/range"), ("GET", "/none")]:
        for name in (f"evil.example:{port}", f"localhost.evil.example:{port}", "127.0.0.1.evil.example"):
            headers = {"Host": name, "Origin": f"http://{name}"}
            answer = httpx.request(method, url + path, headers=headers, content=json.dumps(sample))
            assert answer.status_code == 403, (method, path, name)
            assert answer.headers["content-type"] == "application/problem+json"
    assert httpx.get(f"{url}/api/v1/entities").json() == [], "nothing was written"
    for name, status in ((f"evil.example:{port}", 403), (f"localhost:{port}", 101)):
        assert (await Client.open(port, headers=f"Origin: http://{name}\r\n", host=name)).status == status, name
    for name in (f"localhost:{port}", f"127.0.0.1:{port}", f"[::1]:{port}"):
        headers = {"Host": name, "Origin": f"http://{name}"}
        assert httpx.post(f"{url}/api/v1/samples", json=sample, headers=headers).status_code == 202, name
    for origin in ("null", "http://[", "http://evil.example"):
        assert httpx.post(f"{url}/api/v1/samples", json=sample, headers={"Origin": origin}).status_code == 403, origin
    assert "Traceback" not in said() and "Exception in ASGI" not in said()


def test_a_name_of_ones_own_is_answered_to_once_it_is_configured(up):
    url, _ = up(env={"FORESHOCK_AUTH_HOSTS": "ops.example.org,*.internal"})
    for name, status in (("ops.example.org", 200), ("a.internal:8080", 200), ("localhost", 200), ("evil.example", 403)):
        assert httpx.get(f"{url}/api/v1/entities", headers={"Host": name}).status_code == status, name


async def test_a_websocket_opens_only_with_a_token_and_from_our_own_page(up):
    secret, line = token("reader", "read")
    url, said = up(env={"FORESHOCK_AUTH_TOKENS": line})
    live, port = url.replace("http", "ws") + "/api/v1/live", int(url.rpartition(":")[2])
    bearer = f"Authorization: Bearer {secret}\r\n"
    assert (await Client.open(port)).status == 403
    assert (await Client.open(port, headers=bearer + "Origin: http://evil.example\r\n")).status == 403
    ours = bearer + "Origin: http://localhost\r\n"  # the host it asks for
    assert (await Client.open(port, headers=ours)).status == 101
    with pytest.raises(InvalidStatus), connect(url.replace("http", "ws") + "/api/v1/none"):
        pass
    with connect(live, additional_headers={"Authorization": f"Bearer {secret}"}) as socket:
        socket.send(EVERYTHING)
        assert json.loads(socket.recv(timeout=120))["type"] == "subscribed"
    assert "Traceback" not in said()


async def test_overload_is_refused_with_a_time_to_return_and_what_was_accepted_is_kept(up):
    """Many clients send at once what only a few may: memory is bounded, the page answers, nothing accepted is lost."""
    url, _ = up(env={"FORESHOCK_LIMITS_PENDING": str(1 << 20)})
    begin = int(time.time() * 1000) // 10_000 * 10_000 - 600_000
    accepted, refused, answered = [0], [0], []

    async def client(number, http):
        for turn in range(6):
            samples = [
                {"entity": "e", "metric": f"m{number}", "timestamp": begin + turn * 10_000 + i, "value": i}
                for i in range(3000)
            ]
            answer = await http.post(f"{url}/api/v1/samples", content=json.dumps({"samples": samples}))
            if answer.status_code == 202:
                accepted[0] += len(samples)
            else:
                assert answer.status_code == 503 and int(answer.headers["retry-after"]) >= 1, answer.text
                refused[0] += 1

    async def look(http):
        while True:
            answer = await http.get(f"{url}/api/v1/entities")
            answered.append(answer.status_code)
            await asyncio.sleep(0.2)

    async with httpx.AsyncClient(timeout=120, limits=httpx.Limits(max_connections=40)) as http:
        looking = asyncio.create_task(look(http))
        await asyncio.gather(*(client(number, http) for number in range(24)))
        looking.cancel()
    assert refused[0] > 0 and accepted[0] > 0 and set(answered) == {200}

    def counted():
        query = {"entity": "e", "rollup": "10s", "stat": "count", "from": begin, "to": begin + 60_000}
        rows = httpx.get(f"{url}/api/v1/range", params=query).json()["data"]
        return sum(value for row in rows for value in row[1:] if value)

    late = {"entity": "e", "metric": "end", "timestamp": begin + 120_000, "value": 1}
    httpx.post(f"{url}/api/v1/samples", json=late)
    await asyncio.to_thread(eventually, counted, accepted[0], 60)
    text = httpx.get(f"{url}/metrics").text
    assert f'foreshock_refused_total{{reason="busy"}} {refused[0]}\n' in text
