"""The protocol byte by byte: who is sent what, who resumes where, and clients that mean harm."""

import asyncio
import json

import pytest

from schemas.topics import SAMPLES
from tests.unit.live.serving import EVERYTHING, Client, Serving, values_of


@pytest.fixture
async def serving(tmp_path):
    async with Serving(tmp_path / "log") as running:
        yield running


@pytest.fixture
async def impatient(tmp_path):
    """One that looks for the silent a hundred times as often."""
    async with Serving(tmp_path / "log", check_s=0.05) as running:
        yield running


async def test_everybody_gets_the_same_bytes_and_each_message_is_encoded_once(serving):
    clients = [await Client.open(serving.port) for _ in range(20)]
    for client in clients:
        await client.subscribe()
        assert (await client.message())["type"] == "subscribed"
    wanted = [serving.write(entities=3) for _ in range(5)]
    frames = [[await client.frame() for _ in range(15)] for client in clients]
    assert all(mine == frames[0] for mine in frames)
    assert [values_of(json.loads(payload))[0] for _, payload in frames[0]] == sum(wanted, [])
    assert serving.live.counters["live_encoded"] == 15
    assert serving.live.counters["live_messages"] == 15 * 20


async def test_from_every_cursor_on_nothing_is_lost_or_repeated(serving):
    """Also from within a record, where only some of its messages were received."""
    client = await Client.open(serving.port)
    await client.subscribe()
    cursors = [(await client.message())["cursor"]]
    wanted = sum((serving.write(entities=4, size=2) for _ in range(6)), [])
    got = []
    while len(got) < len(wanted):
        message = await client.message()
        got += values_of(message)
        cursors.append(message["cursor"])
    assert got == wanted
    for number, cursor in enumerate(cursors):
        again = await Client.open(serving.port)
        await again.subscribe(after=cursor)
        rest = []
        while (message := await again.message())["type"] != "subscribed":
            rest += values_of(message)
        assert rest == wanted[2 * number :]
        again.close()


async def test_records_that_say_nothing_are_passed_over(serving):
    wanted = serving.write(entities=2)
    serving.log.append_now(SAMPLES, 0, b"rubbish")
    wanted += serving.write(entities=2)
    while serving.hub.at[SAMPLES, 0][0] < 3:
        await asyncio.sleep(0.01)
    client = await Client.open(serving.port)
    await client.subscribe(recent=3)
    got = []
    while (message := await client.message())["type"] != "subscribed":
        got += values_of(message)
    assert got == wanted


async def test_many_who_come_back_at_once_share_what_is_read(serving):
    first = await Client.open(serving.port)
    await first.subscribe()
    cursor = (await first.message())["cursor"]
    first.close()
    wanted = sum((serving.write(entities=5, size=20) for _ in range(120)), [])  # several pieces
    stopped, live = asyncio.Event(), []

    async def write():
        while not stopped.is_set():
            live.extend(serving.write(entities=2))
            await asyncio.sleep(0.01)

    async def come_back():
        client = await Client.open(serving.port)
        await client.subscribe(after=cursor)
        got = []
        while len(got) < len(wanted) or got[-1] < wanted[-1] + 20:
            message = await client.message(30)
            assert message["type"] in ("samples", "subscribed")
            got += values_of(message)
        client.close()
        return got

    writing = asyncio.create_task(write())
    before = serving.live.counters["live_pieces"]
    received = await asyncio.gather(*(come_back() for _ in range(40)))
    stopped.set()
    await writing
    for got in received:
        assert got == [*wanted, *live][: len(got)]
    assert serving.live.counters["live_pieces"] - before < 10 * 40, "each piece is made for all, not for each"
    assert len(serving.live.hub.history._records) > 0  # noqa: SLF001
    for _ in range(100):
        if len(serving.live) == 0:
            break
        await asyncio.sleep(0.05)
    assert len(serving.live) == 0 and not serving.hub._channels  # noqa: SLF001


async def test_a_slow_reader_is_told_what_it_missed_and_can_have_it(serving, monkeypatch):
    monkeypatch.setattr("api.live.channel.LAG_S", 0.5)
    monkeypatch.setattr("api.live.channel.FRESH_S", 0.1)
    slow, quick = await Client.open(serving.port, receive_buffer=4096), await Client.open(serving.port)
    for client in (slow, quick):
        await client.subscribe()
        await client.message()
    slow.writer.transport.pause_reading()
    wanted, got = [], []

    async def read_on():
        while True:
            got.extend(values_of(await quick.message(30)))

    reading = asyncio.create_task(read_on())
    for _ in range(150):
        wanted += serving.write(entities=3, size=50)
        await asyncio.sleep(0.01)
    while len(got) < len(wanted):
        await asyncio.sleep(0.01)
    reading.cancel()
    assert got == wanted, "the slow one disturbs nobody"
    slow.writer.transport.resume_reading()
    received, gaps = [], []
    while len(received) + 50 * sum(gap["missed"] for gap in gaps) < len(wanted):
        message = await slow.message()
        if message["type"] == "gap":
            gaps.append(message)
        received += values_of(message)
    assert gaps and received[-1] == wanted[-1], "the newest comes"
    assert set(gaps[0]["entities"]) == {"e0", "e1", "e2"}
    again = await Client.open(serving.port)
    await again.subscribe(after=gaps[0]["after"])
    missed, until = [], gaps[0]["cursor"]
    while (message := await again.message())["type"] == "samples":
        missed += values_of(message)
        if message["cursor"] == until:
            break
    assert len(missed) == 50 * gaps[0]["missed"]
    assert sorted(received[: wanted.index(missed[0])] + missed) == wanted[: wanted.index(missed[-1]) + 1]


HOSTILE = {
    "a frame that says it is huge": (lambda c: c.send(b"x", length=1 << 40), {1009}),
    "fragments without end": (
        lambda c: [c.send(b"x" * 60_000, 1 if n == 0 else 0, fin=False) for n in range(4)],
        {1009},
    ),
    "invalid UTF-8": (lambda c: c.send(b"\xff\xfe\xfd"), {1007}),
    "not masked": (lambda c: c.send(b"{}", mask=b""), {1002}),
    "a reserved opcode": (lambda c: c.send(b"{}", opcode=3), {1002}),
    "reserved bits": (lambda c: c.send(b"{}", opcode=0x41), {1002}),
    "a continuation of nothing": (lambda c: c.send(b"{}", opcode=0), {1002}),
    "a fragmented ping": (lambda c: c.send(b"", opcode=9, fin=False), {1002}),
    "binary": (lambda c: c.send(b"{}", opcode=2), {1003}),
    "no JSON": (lambda c: c.send(b"nonsense"), {1008}),
    "nesting": (lambda c: c.send(b"[" * 60_000), {1008}),
    "too many patterns": (
        lambda c: c.send(json.dumps({"subscribe": {"entities": [str(n) for n in range(300)]}}).encode()),
        {1008},
    ),
    "the cursor of something else": (
        lambda c: c.send(json.dumps({"subscribe": EVERYTHING, "after": "samples.0=1,passwd.0=2"}).encode()),
        {1008},
    ),
    "nothing at all": (lambda c: None, {1008}),
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_client_that_means_harm_is_closed_with_a_reason(impatient, name):
    act, codes = HOSTILE[name]
    client, other = await Client.open(impatient.port), await Client.open(impatient.port)
    await other.subscribe()
    await other.message()
    act(client)
    assert await client.close_code() in codes
    wanted = impatient.write(entities=1)
    assert values_of(await other.message()) == wanted, "the others go on"


async def test_a_first_message_in_many_small_fragments_is_understood(serving):
    client, text = await Client.open(serving.port), json.dumps({"subscribe": EVERYTHING}).encode()
    for at in range(len(text)):
        client.send(text[at : at + 1], opcode=1 if at == 0 else 0, fin=False)
    client.send(b"hello", opcode=9)  # a ping may come between
    client.send(b"", opcode=0)
    frames = [await client.frame() for _ in range(2)]
    assert (0x8A, b"hello") in frames and any(b"subscribed" in payload for _, payload in frames)


async def test_who_neither_answers_nor_reads_is_let_go(impatient):
    deaf, stuck = await Client.open(impatient.port), await Client.open(impatient.port, receive_buffer=4096)
    for client in (deaf, stuck):
        await client.subscribe()
        await client.message()
    stuck.writer.transport.pause_reading()
    for _ in range(100):
        impatient.write(entities=10, size=50)
    assert await deaf.close_code() == 0  # it is pinged, and never says a thing
    for _ in range(100):
        if len(impatient.live) == 0:
            break
        await asyncio.sleep(0.05)
    assert len(impatient.live) == 0 and impatient.live.lost == 2


async def test_who_answers_pings_stays(impatient):
    client = await Client.open(impatient.port)
    await client.subscribe()
    await client.message()
    for _ in range(4):
        assert await client.frame() == (0x89, b"")
        client.send(b"", opcode=10)
    assert len(impatient.live) == 1


async def test_pings_of_one_that_never_reads_do_not_fill_our_memory(serving):
    client = await Client.open(serving.port, receive_buffer=4096)
    await client.subscribe()
    client.writer.transport.pause_reading()
    with pytest.raises((ConnectionError, TimeoutError)):
        for _ in range(200_000):
            client.send(b"x" * 125, opcode=9)
            await asyncio.wait_for(client.writer.drain(), 5)
    assert len(serving.live) == 0


async def test_no_more_subscribers_than_allowed(tmp_path):
    async with Serving(tmp_path / "log", subscribers_max=2) as serving:
        clients = [await Client.open(serving.port) for _ in range(3)]
        assert await clients[2].close_code() == 1013
        await clients[0].subscribe()
        assert (await clients[0].message())["type"] == "subscribed"


async def test_a_stop_says_so_and_does_not_wait_for_the_slow(tmp_path):
    async with Serving(tmp_path / "log") as serving:
        client, stuck = await Client.open(serving.port), await Client.open(serving.port, receive_buffer=4096)
        for one in (client, stuck):
            await one.subscribe()
            await one.message()
        stuck.writer.transport.pause_reading()
        closing = asyncio.create_task(client.close_code())
        for _ in range(50):
            serving.write(entities=10, size=50)
        await asyncio.sleep(0.2)
    assert await closing == 1012


async def test_a_cursor_the_log_no_longer_holds_gives_a_gap(serving):
    for _ in range(10):
        serving.write(entities=1)
    await asyncio.sleep(0.1)
    client = await Client.open(serving.port)
    await client.subscribe(after="samples.0=99")
    gap = await client.message()
    assert gap["type"] == "gap" and "samples ends at 10" in gap["why"]
    assert (await client.message())["type"] == "subscribed"


async def test_an_error_of_ours_while_catching_up_closes_with_a_reason_and_harms_nobody_else(serving, monkeypatch):
    other, client = await Client.open(serving.port), await Client.open(serving.port)
    await other.subscribe()
    cursor = (await other.message())["cursor"]
    serving.write(entities=1)
    await other.message()

    async def broken(*_):
        raise RuntimeError("a bug")

    with monkeypatch.context() as patch:
        patch.setattr(serving.hub.history, "piece", broken)
        await client.subscribe(after=cursor)
        assert await client.close_code() == 1011
    assert serving.live.counters["live_failed"] == 1
    again = await Client.open(serving.port)
    await again.subscribe(after=cursor)
    assert (await again.message())["type"] == "samples"
    wanted = serving.write(entities=1)
    assert values_of(await other.message()) == wanted


async def test_compression_is_not_agreed_to(serving):
    client = await Client.open(serving.port, headers="Sec-WebSocket-Extensions: permessage-deflate\r\n")
    await client.subscribe()
    assert (await client.message())["type"] == "subscribed"
