"""Live push of the running product: the same bytes to everybody, slow readers, a kill, and `after`."""

import asyncio
import json
import time

import httpx
import pytest

from tests.running import PATIENCE, start, stop
from tests.unit.live.serving import Client

FIRST = {"subscribe": {"entities": ["*"], "metrics": ["*"], "rollups": ["1s"], "types": ["rollup"]}}
SETTINGS = {"FORESHOCK_WINDOWS_ROLLUPS": "1s", "FORESHOCK_WINDOWS_LATENESS": "0s"}
SUBSCRIBERS, ENTITIES = 200, 20


class Site:
    """Writes a second of event time a call; that closes the second before."""

    def __init__(self):
        self.second = int(time.time()) - 3600

    async def write(self, http, url):
        samples = [
            {"entity": f"e{e}", "metric": f"m{m}", "value": 1, "timestamp": self.second * 1000}
            for e in range(ENTITIES)
            for m in range(20)
        ]
        (await http.post(f"{url}/api/v1/samples", json={"samples": samples})).raise_for_status()
        self.second += 1


async def subscribe(port, **more):
    client = await Client.open(port, **more.pop("open", {}))
    client.send(json.dumps(FIRST | more).encode())
    return client


async def windows(client, count):
    """Return (entity, start) and the cursor of the next messages, and their bytes."""
    got, frames = [], []
    while len(got) < count:
        _, payload = await client.frame(30)
        message = json.loads(payload)
        assert message["type"] in ("rollup", "subscribed"), message
        if message["type"] == "rollup":
            got.append((message["entity"], message["start"], message["cursor"]))
            frames.append(payload)
    return got, frames


@pytest.fixture
def running(tmp_path):
    process, url = start(tmp_path, "--no-collect", env=SETTINGS)
    yield process, url, tmp_path
    if process.poll() is None:
        stop(process)


async def test_hundreds_of_subscribers_slow_ones_and_a_kill(running):
    process, url, data = running
    port, site = int(url.rpartition(":")[2]), Site()
    quick = [await subscribe(port) for _ in range(SUBSCRIBERS - 10)]
    slow = [await subscribe(port, open={"receive_buffer": 4096}) for _ in range(10)]
    for client in quick + slow:
        assert json.loads((await client.frame())[1])["type"] == "subscribed"
    for client in slow:
        client.writer.transport.pause_reading()
    async with httpx.AsyncClient(timeout=120) as http:
        reading = [asyncio.create_task(windows(client, 9 * ENTITIES)) for client in quick]
        for _ in range(9):
            await site.write(http, url)
            await asyncio.sleep(0.8)
        received = await asyncio.gather(*reading)  # the last window closes because nothing more comes
        assert len({tuple(frames) for _, frames in received}) == 1, "everybody is sent the same bytes"
        whole = received[0][0]
        assert len({(entity, start_ms) for entity, start_ms, _ in whole}) == 9 * ENTITIES

        async def read_slowly(client):
            client.writer.transport.resume_reading()
            got, missed = [], 0
            while len(got) + missed < len(whole):
                message = await client.message(30)
                if message["type"] == "gap":
                    assert message["types"] == {"rollup": message["missed"]}
                    missed += message["missed"]
                else:
                    got.append((message["entity"], message["start"], message["cursor"]))
            return got, missed

        for got, missed in await asyncio.gather(*map(read_slowly, slow)):
            assert missed > 0 and len(got) + missed == len(whole)
            assert got[-1] == whole[-1] and set(got) <= set(whole)

        # What was not stored yet would be closed, and told, once more.
        last = {"entity": "e0", "rollup": "1s", "from": whole[-1][1], "to": whole[-1][1] + 1000}
        while not (await http.get(f"{url}/api/v1/range", params=last)).json()["data"]:
            await asyncio.sleep(0.1)
        await asyncio.sleep(1)  # the checkpoint is written behind the windows
        process.kill()
        process.wait()
        again, _ = start(data, "--no-collect", "--port", str(port), env=SETTINGS)
        try:
            await site.write(http, url)
            await site.write(http, url)
            # Each comes back from another message, many from within a record.
            places = [number * 7 % len(whole) for number in range(SUBSCRIBERS)]
            back = await asyncio.gather(*(subscribe(port, after=whole[place][2]) for place in places))
            await site.write(http, url)
            wanted = [entry[:2] for entry in whole]
            for place, client in zip(places, back, strict=True):
                got, _ = await windows(client, len(whole) - place - 1 + 2 * ENTITIES)
                seen = [entry[:2] for entry in got]
                assert seen[: len(whole) - place - 1] == wanted[place + 1 :]
                assert len(set(seen)) == len(seen) and not set(seen) & set(wanted[: place + 1])
        finally:
            assert stop(again) < 5 * PATIENCE
