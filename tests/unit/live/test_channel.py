"""Every message added after a member joined is received once, in order, or counted in one gap."""

import json
from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from api.live.channel import ENTITIES_NAMED, LAG_S, Channel, Entry, Member
from api.live.frames import text_frame
from api.live.message import Filter


class Wire:
    """A sink that can be written to until so many bytes wait; ``read`` takes them off."""

    def __init__(self, room: int) -> None:
        self.open, self.paused, self._room, self._waiting, self.data = True, False, room, 0, bytearray()

    def write(self, data: bytes) -> None:
        assert self.open and not self.paused, "written to although it is slow"
        self.data += data
        self._waiting += len(data)
        self.paused = self._waiting > self._room

    def read(self) -> None:
        self._waiting, self.paused = 0, False


def messages(data: bytes) -> list[dict]:
    out, at = [], 0
    while at < len(data):
        assert data[at] == 0x81
        size, at = data[at + 1], at + 2
        if size > 125:
            width = 2 if size == 126 else 8
            size, at = int.from_bytes(data[at : at + width], "big"), at + width
        out.append(json.loads(data[at : at + size]))
        at += size
    return out


def entry(number: int, now_s: float, size: int = 10) -> Entry:
    type_ = ("rollup", "verdict", "samples")[number % 3]
    body = {"type": type_, "cursor": f"c{number}", "number": number, "x": "x" * size}
    return Entry(text_frame(json.dumps(body).encode()), f"c{number}", type_, f"e{number % 7}", now_s)


def flush(channel: Channel, now_s: float, bytes_max: int) -> None:
    members = list(channel.members)
    for start, end, data in channel.pieces():
        channel.offer(members, start, end, data)
    channel.trim(now_s, bytes_max)


steps = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(1, 30)),
        st.tuples(st.just("join"), st.integers(0, 4000)),
        st.tuples(st.just("read"), st.integers(0, 5)),
        st.tuples(st.just("leave"), st.integers(0, 5)),
        st.tuples(st.just("flush"), st.sampled_from([3000, 10_000, 1 << 20])),
        st.tuples(st.just("wait"), st.integers(1, 80)),
    ),
    max_size=80,
)


@settings(max_examples=300, deadline=None)
@given(steps)
def test_every_message_is_received_or_counted(script):
    channel, added, now_s = Channel(Filter(("*",), ("*",), ("*",), ("rollup",)), "c-1"), [], 0.0
    members: list[tuple[Member, Wire, int]] = []
    for what, number in script:
        if what == "add":
            for _ in range(number):
                added.append(entry(len(added), now_s))
                channel.add(added[-1])
        elif what == "join":
            wire = Wire(number)
            members.append((Member(wire), wire, len(added)))
            channel.join(members[-1][0])
        elif what == "read" and members:
            member, wire, _ = members[number % len(members)]
            wire.read()
            channel.pump(member)
        elif what == "leave" and len(members) > 1:
            channel.leave(members.pop(number % len(members))[0])
        elif what == "flush":
            flush(channel, now_s, number)
        elif what == "wait":
            now_s += number / 10
    flush(channel, now_s, 1 << 30)
    for member, wire, joined_at in members:
        while member.missed is not None or member.next < channel.end:
            wire.read()
            channel.pump(member)
        expected = joined_at
        for message in messages(wire.data):
            if message["type"] == "gap":
                missed = added[expected : expected + message["missed"]]
                assert message["types"] == Counter(one.type for one in missed)
                assert message["entities"] == sorted({one.entity for one in missed})
                assert message["after"] == f"c{expected - 1}" and message["cursor"] == missed[-1].cursor
                expected += message["missed"]
            else:
                assert message["number"] == expected
                expected += 1
        assert expected == len(added)
    assert channel.delivered + channel.missed >= sum(len(added) - joined_at for _, _, joined_at in members)


def test_memory_is_bounded_while_one_never_reads_and_the_others_miss_nothing():
    channel, now_s = Channel(Filter(("*",), ("*",), ("*",), ("rollup",)), "c-1"), 0.0
    stuck, quick = Wire(1000), Wire(1 << 40)
    for wire in (stuck, quick):
        channel.join(Member(wire))
    for number in range(3000):
        channel.add(entry(number, now_s, size=1000))
        flush(channel, now_s, 200_000)
        assert channel.bytes < 250_000
    assert [m["number"] for m in messages(quick.data)] == list(range(3000))
    now_s += LAG_S + 1
    channel.add(entry(3000, now_s))
    flush(channel, now_s, 1 << 30)
    member = next(m for m in channel.members if m.sink is stuck)
    assert channel.bytes < 2000, "what is older than LAG_S is kept for nobody"
    before = len(stuck.data)
    stuck.read()
    channel.pump(member)
    gap, newest = messages(stuck.data[before:])
    assert gap["type"] == "gap" and newest["number"] == 3000
    assert len(messages(stuck.data[:before])) + gap["missed"] == 3000


def test_a_gap_names_at_most_so_many_entities():
    channel, wire = Channel(Filter(("*",), ("*",), ("*",), ("rollup",)), "c-1"), Wire(10)
    channel.join(Member(wire))
    channel.add(entry(0, 0.0))
    flush(channel, 0.0, 1 << 20)
    for number in range(1, 300):
        channel.add(entry(number, 0.0)._replace(entity=f"host-{number}"))
    channel.add(entry(300, LAG_S + 1))
    flush(channel, LAG_S + 1, 1 << 20)
    wire.read()
    channel.pump(next(iter(channel.members)))
    gap = messages(wire.data)[1]
    assert gap["missed"] == 299 and len(gap["entities"]) == ENTITIES_NAMED and gap["more_entities"] is True
