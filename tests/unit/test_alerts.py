"""When an alert is raised and resolved, what holds it back, and that everybody is told, once each and in order."""

import asyncio
import random

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.alert import Alert, Matcher, Notification, Silence, check_matchers
from schemas.errors import DataError, SinkError
from schemas.topics import ALERTS, VERDICTS
from schemas.verdict import Verdict, encode_verdicts
from store.alerts import AlertTables
from stream.agents.alerting import PartitionAlerter
from stream.alerts import track
from stream.alerts.deliver import Deliverer, retry_after_ms
from stream.alerts.hold import held
from stream.alerts.settings import AlertSettings, Target, parse_maintenance, parse_targets
from tests.receiver import Receiver

NOW = 1_800_000_000_000


def verdict(number, flag, entity="shop", rollup="10s"):
    start = NOW + number * 10_000
    common = {"period": "normal", "anomaly_score": 0.9, "p_incident": 0.7, "reason": "latency is six times as usual"}
    return Verdict(id=f"v{number}", entity=entity, rollup=rollup, start=start, end=start + 10_000, flag=flag, **common)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.integers(0, 1), max_size=80), st.integers(1, 4), st.randoms(use_true_random=False))
def test_it_fires_after_so_many_flags_and_resolves_after_as_many_clear_ones(flags, n, rng):
    alert, state, streak, fired, changes, told = None, "", 0, [], [], []
    for number, flag in enumerate(flags):
        before = alert.sequence if alert else 0
        alert = track.step(alert, verdict(number, flag), AlertSettings(windows=n))
        # What was seen, or is older, changes nothing.
        assert (
            alert is None
            or track.step(alert, verdict(rng.randint(0, number), 1 - flag), AlertSettings(windows=n)) is alert
        )
        if alert and alert.sequence > before:
            told.append((number, alert.state))
        if state == "firing":
            streak = 0 if flag else streak + 1
            if streak >= (n * track.FLAP_FACTOR if len(fired) >= track.FLAPS else n):
                state, streak = "", 0
                changes.append((number, "resolved"))
        else:
            streak = streak + 1 if flag else 0
            if streak >= n:
                state, streak = "firing", 0
                fired = [f for f in fired if f > number - track.FLAP_MS // 10_000] + [number]
                changes.append((number, "firing"))
    assert told == changes


def test_an_entity_that_went_silent_is_resolved():
    alert = track.step(None, verdict(0, 1), AlertSettings(windows=1))
    rules = AlertSettings(stale_ms=60_000)
    assert track.expire(alert, rules, alert.window_end_ms + 59_999) is alert
    ended = track.expire(alert, rules, alert.window_end_ms + 60_000)
    assert (ended.state, ended.sequence) == ("resolved", alert.sequence + 1)


def firing(entity="shop"):
    return track.step(None, verdict(0, 1, entity), AlertSettings(windows=1))


def test_silences_match_as_alertmanagers_do():
    def silence(*matchers, until=NOW + 1):
        return Silence(id="s", matchers=list(matchers), starts_ms=NOW, ends_ms=until)

    def by(name, value, **more):
        return Matcher(name=name, value=value, **more)

    labels = {"entity": "shop", "severity": "critical"}
    assert silence(by("entity", "shop")).holds(labels, NOW)
    assert not silence(by("entity", "shop")).holds(labels, NOW + 1)
    assert not silence(by("entity", "sho", is_regex=True)).holds(labels, NOW), "anchored at both ends"
    assert silence(by("entity", "s.*", is_regex=True), by("severity", "warning", is_equal=False)).holds(labels, NOW)
    assert not silence(by("entity", "s.*", is_regex=True, is_equal=False)).holds(labels, NOW)
    assert silence(by("entity", "shop"), by("missing", "")).holds(labels, NOW)
    for bad in ([], [by("entity", "(", is_regex=True)], [by("entity", ".*", is_regex=True)], [by("", "x")]):
        with pytest.raises(DataError):
            check_matchers(bad)
    check_matchers([by("entity", "(a+)+b", is_regex=True)])
    assert not silence(by("entity", "(a+)+b", is_regex=True)).holds({"entity": "a" * 5000}, NOW)  # in linear time


def test_maintenance_and_causes_hold_back():
    rules = AlertSettings(
        depends={"shop": ("db-*",)},
        maintenance=parse_maintenance(
            [
                {"entities": ["once*"], "from": "2027-01-15T08:00:00Z", "to": "2027-01-15T09:00:00Z"},
                {"entities": ["weekly"], "days": ["fri"], "start": "22:00", "end": "02:00"},
            ]
        ),
        timezone="Europe/Berlin",
    )
    assert held(firing(), [], {"shop"}, rules, NOW).inhibited_by == ""
    assert held(firing(), [], {"shop", "db-7"}, rules, NOW).inhibited_by == "db-7"
    assert held(firing("once-1"), [], set(), rules, NOW).maintenance  # NOW is 2027-01-15 08:00 UTC, a Friday
    assert not held(firing("once-1"), [], set(), rules, NOW + 3_600_000).maintenance
    for hours, inside in ((12, False), (13.5, True), (16.9, True), (17.1, False)):
        assert held(firing("weekly"), [], set(), rules, NOW + int(hours * 3_600_000)).maintenance == inside, hours


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({"kind": "fax", "url": "http://x"}, "kind='fax'; want one of webhook"),
        ({"kind": "webhook", "url": "file:///etc/passwd"}, "want http:// or https://"),
        ({"kind": "pagerduty"}, "want a routing_key"),
        ({"kind": "slack", "uri": "http://x"}, "want strings name, kind, url"),
    ],
)
def test_targets_are_refused_by_number_and_reason(table, says):
    with pytest.raises(ValueError, match=f"table 1.*{says}"):
        parse_targets([table])


def test_retry_after_is_read_and_bounded():
    assert retry_after_ms("7", 0) == 7000 and retry_after_ms("99999999", 0) == 3_600_000
    assert retry_after_ms("Thu, 01 Jan 1970 00:01:00 GMT", 10_000) == 50_000
    assert [retry_after_ms(text, 0) for text in ("", "soon", "-5", "²")] == [0, 0, 0, 0]


def notification(number, target="t", group="g"):
    alert = Alert(fingerprint="f", entity="shop", rollup="10s", state="firing", sequence=number)
    key, created = f"{target}-{group}-{number}", NOW + number
    return Notification(id=key, target=target, group={"entity": group}, alerts=[alert], partition=0, created_ms=created)


async def nowhere(begun):
    pass


async def test_a_misbehaving_receiver_gets_everything_in_order_with_one_key_each():
    answers = [500, "close", (429, {"Retry-After": "2"}), 200, 503, 200, (307, {"Location": "http://127.0.0.1:9/"})]
    receiver, now, begun = Receiver(answers), [NOW], []

    async def write_down(notifications):
        assert all(one.attempts == 1 for one in notifications), "where it stands after a crash in the middle of it"
        assert not {one.id for one in notifications} & {h["Idempotency-Key"] for _, h, _, _ in receiver.requests}
        begun.extend(one.id for one in notifications)
        if len(begun) == 2:
            raise SinkError("the store is away")

    target = Target("t", "webhook", receiver.url)
    deliverer = Deliverer(
        [target], give_up_ms=10**9, now_ms=lambda: now[0], write_down=write_down, rng=random.Random(1)
    )
    for number in range(4):
        deliverer.add(notification(number))
    waits, done = [], {}
    for _ in range(400):
        deliverer.pump()
        await asyncio.sleep(0.01)
        for one in deliverer.changed():
            done[one.id] = one
            if one.state == "waiting":
                waits.append(one.next_ms - one.updated_ms)
        now[0] += 500
        if sum(one.state == "delivered" for one in done.values()) == 4:
            break
    await deliverer.close()
    keys = [headers["Idempotency-Key"] for _, headers, _, _ in receiver.requests]
    assert list(dict.fromkeys(keys)) == [f"t-g-{n}" for n in range(4)] and keys == sorted(keys)
    assert [body["id"] for body in receiver.taken()] == [f"t-g-{n}" for n in range(4)]
    assert begun == ["t-g-0", "t-g-1", "t-g-1", "t-g-2", "t-g-3"]
    assert waits[2] >= 2000 and waits[1] > waits[0] / 2, "Retry-After, and longer after each failure"
    receiver.close()


async def test_what_is_refused_for_ever_or_too_long_in_vain_is_listed_and_blocks_nobody():
    receiver, now = Receiver([400]), [NOW]
    targets = [Target("t", "webhook", receiver.url), Target("down", "webhook", "http://127.0.0.1:9/")]
    deliverer = Deliverer(targets, give_up_ms=60_000, now_ms=lambda: now[0], write_down=nowhere, rng=random.Random(1))
    for one in (notification(0), notification(1), notification(2, "down"), notification(3, "gone")):
        deliverer.add(one)
    done = {}
    for _ in range(300):
        deliverer.pump()
        await asyncio.sleep(0.01)
        done |= {one.id: one for one in deliverer.changed()}
        now[0] += 5000
        if len(done) == 4 and all(one.state != "waiting" for one in done.values()):
            break
    await deliverer.close()
    states = {key: one.state for key, one in done.items()}
    assert states == {"t-g-0": "refused", "t-g-1": "delivered", "down-g-2": "given_up", "gone-g-3": "given_up"}
    assert "400" in done["t-g-0"].error and done["down-g-2"].attempts > 3 and done["gone-g-3"].error
    receiver.close()


@pytest.mark.parametrize("seed", range(6))
async def test_crashes_at_any_point_tell_every_change_with_the_same_key(parts, seed):
    """Real log and store; the alerter is dropped without a word and another one goes on."""
    log, repository = parts
    rng, now = random.Random(seed), [NOW]
    receiver = Receiver()
    rules = AlertSettings(windows=2, group_wait_ms=1000, targets=(Target("ops", "webhook", receiver.url),))

    def fresh():
        return PartitionAlerter(0, log, repository, rules, lambda: now[0])

    flags = [rng.random() < 0.5 for _ in range(60)]
    alerter, known, want = fresh(), None, []
    offset = await alerter.open()
    for number, flag in enumerate(flags):
        one = verdict(number, int(flag))
        before = known.sequence if known else 0
        known = track.step(known, one, rules)
        if known and known.sequence > before:
            want.append((known.sequence, known.state))
        await log.append(VERDICTS, 0, encode_verdicts([one]))
        now[0] = one.end + 500
        await alerter.process(await log.read(VERDICTS, 0, offset))
        offset = number + 1
        for _ in range(rng.randint(0, 3)):
            await alerter.tick()
            now[0] += 1100
            await asyncio.sleep(0.005)
        if rng.random() < 0.25:
            await alerter._deliverer.close()  # the process is gone; what it had not written is lost
            alerter = fresh()
            offset = await alerter.open()
    for _ in range(200):
        await alerter.process(await log.read(VERDICTS, 0, offset))
        offset = len(flags)
        await alerter.tick()
        now[0] += 1100
        await asyncio.sleep(0.005)
        if (
            not await AlertTables(repository.thread).waiting(0)
            and known.sequence == alerter._alerts[known.fingerprint].told
        ):
            break
    await alerter.close()
    keys, told = {}, []
    for body in receiver.taken():
        for alert in body["data"]["alerts"]:
            keys.setdefault((alert["sequence"], alert["status"]), set()).add(body["id"])
            told.append(alert["sequence"])
    # A change may be overtaken by the next one within the group's wait; the last one is always told.
    assert set(keys) <= set(want) and (want[-1] in keys if want else not keys or want)
    once = list(dict.fromkeys(told))
    assert once == sorted(once) and all(len(ids) == 1 for ids in keys.values())
    receiver.close()


async def test_an_end_that_waits_for_its_group_is_told_though_the_next_beginning_is_silenced(parts):
    log, repository = parts
    receiver, now, tables = Receiver(), [NOW + 11_000], AlertTables(repository.thread)
    rules = AlertSettings(windows=1, group_wait_ms=5000, targets=(Target("ops", "webhook", receiver.url),))
    alerter, offset = PartitionAlerter(0, log, repository, rules, lambda: now[0]), 0
    await alerter.open()

    async def take(*verdicts):
        nonlocal offset
        await log.append(VERDICTS, 0, encode_verdicts(list(verdicts)))
        await alerter.process(await log.read(VERDICTS, 0, offset))
        offset += 1
        for _ in range(3):
            await alerter.tick()
            await asyncio.sleep(0.05)

    await take(verdict(0, 1))
    now[0] += 6000
    await take()
    silence = Silence(id="s", matchers=[Matcher(name="entity", value="shop")], starts_ms=0, ends_ms=NOW + 10**9)
    await tables.put_silence(silence)
    await take(verdict(1, 0), verdict(2, 1))
    now[0] += 6000
    await take(verdict(3, 0))
    now[0] += 6000
    await take()
    told = [(alert["status"], alert["sequence"]) for body in receiver.taken() for alert in body["data"]["alerts"]]
    assert told == [("firing", 1), ("resolved", 2)]
    await alerter.close()
    receiver.close()


class Owner:
    """The alerter of a partition, which may begin again at any moment."""

    def __init__(self, log, repository, rules, now):
        self._log, self._given = log, (0, log, repository, rules, lambda: now[0])

    async def begin(self):
        self.alerter = PartitionAlerter(*self._given)
        self._offset = await self.alerter.open()

    async def again(self):
        await self.alerter._deliverer.close()
        await self.begin()

    async def take(self, *verdicts):
        """Take in what is new, and deliver until nothing is under way."""
        if verdicts:
            await self._log.append(VERDICTS, 0, encode_verdicts(list(verdicts)))
        if records := await self._log.read(VERDICTS, 0, self._offset):
            await self.alerter.process(records)
            self._offset = records[-1].offset + 1
        for _ in range(2):
            await self.alerter.tick()
            while any(not task.done() for task in self.alerter._deliverer._tasks.values()):
                await asyncio.sleep(0.01)


@pytest.mark.parametrize("crash", [False, True])
@pytest.mark.parametrize("taken_once", [False, True], ids=["never heard of", "perhaps heard of"])
@pytest.mark.parametrize("then", ["lifted", "over"])
async def test_a_silence_that_begins_while_a_notification_waits_holds_it_back(parts, crash, taken_once, then):
    """The other alert of the group passes. A target that may have heard of the beginning hears of the end."""
    log, repository = parts
    receiver, now, tables = Receiver([503] if taken_once else []), [NOW + 11_000], AlertTables(repository.thread)
    target = Target("ops", "webhook", receiver.url)
    rules = AlertSettings(windows=1, group_wait_ms=0, group_by=("period",), targets=(target,))
    owner = Owner(log, repository, rules, now)
    await owner.begin()
    if taken_once:
        await owner.take(verdict(0, 1))  # answered 503: it may have been taken all the same
        assert len(receiver.requests) == 1
    else:
        pump, owner.alerter._deliverer.pump = owner.alerter._deliverer.pump, lambda: None
        await owner.take(verdict(0, 1))  # in the outbox, and the process is held up before it is sent
        owner.alerter._deliverer.pump = pump
    silence = Silence(id="s9", matchers=[Matcher(name="entity", value="shop")], starts_ms=0, ends_ms=NOW + 10**9)
    await tables.put_silence(silence)
    now[0] += 60_000
    await owner.take()
    (one,) = await tables.notifications()
    assert (one.state, one.held, one.error) == ("waiting", True, "held back: silenced by s9")
    if crash:
        await owner.again()
    await owner.take(verdict(1, 1, "db"))
    if then == "lifted":
        silence.ends_ms = silence.updated_ms = now[0]
        await tables.put_silence(silence)
    else:
        await owner.take(verdict(2, 0))
    now[0] += 60_000
    await owner.take()
    told = [(a["labels"]["entity"], a["status"]) for body in receiver.taken() for a in body["data"]["alerts"]]
    ends = {"lifted": [("shop", "firing")], "over": [("shop", "resolved")] if taken_once else []}[then]
    assert told == [("db", "firing"), *ends]
    states = {
        tuple(a.entity for a in n.alerts): n.state for n in await tables.notifications() if n.alerts[0].sequence == 1
    }
    assert states == {("shop",): "silenced" if then == "over" else "delivered", ("db",): "delivered"}
    await owner.alerter.close()
    receiver.close()


@pytest.mark.parametrize("crash", [False, True])
@pytest.mark.parametrize("then", ["lifted", "over"])
async def test_of_a_group_that_is_silenced_in_part_the_rest_is_told_at_once(parts, crash, then):
    """Three alerts of a group wait in one notification, two are silenced before anybody was sent it."""
    log, repository = parts
    receiver, now, tables = Receiver(), [NOW + 11_000], AlertTables(repository.thread)
    rules = AlertSettings(
        windows=1, group_wait_ms=0, group_by=("period",), targets=(Target("ops", "webhook", receiver.url),)
    )
    owner = Owner(log, repository, rules, now)
    await owner.begin()

    def told():
        return [
            sorted((a["labels"]["entity"], a["status"]) for a in body["data"]["alerts"]) for body in receiver.taken()
        ]

    pump, owner.alerter._deliverer.pump = owner.alerter._deliverer.pump, lambda: None
    await owner.take(*(verdict(0, 1, entity) for entity in ("db", "shop-1", "shop-2")))
    silence = Silence(
        id="s", matchers=[Matcher(name="entity", value="shop-.*", is_regex=True)], starts_ms=0, ends_ms=NOW + 10**9
    )
    await tables.put_silence(silence)
    if crash:
        await owner.again()
    else:
        owner.alerter._deliverer.pump = pump
    await owner.take()
    assert told() == [[("db", "firing")]]
    if crash:  # taken apart, told in part, and begun again
        await owner.again()
        await owner.take()
    waiting = [one for one in await tables.notifications() if one.state == "waiting"]
    assert sorted(a.entity for one in waiting for a in one.alerts) == ["shop-1", "shop-2"]
    assert all(one.held and not one.attempts for one in waiting)
    if then == "lifted":
        silence.ends_ms = silence.updated_ms = now[0]
        await tables.put_silence(silence)
        await owner.take()
        assert sorted(told()[1:]) == [[("shop-1", "firing")], [("shop-2", "firing")]]
    await owner.take(*(verdict(1, 0, entity) for entity in ("db", "shop-1", "shop-2")))
    now[0] += 60_000
    await owner.take()
    entities = ("db", "shop-1", "shop-2") if then == "lifted" else ("db",)
    assert told()[-1] == [(entity, "resolved") for entity in entities]
    assert not [one for one in await tables.notifications() if one.state == "waiting"]
    bodies = {}
    for _, headers, body, _ in receiver.requests:
        assert bodies.setdefault(headers["Idempotency-Key"], body) == body
    assert len(bodies) == len(receiver.requests)
    await owner.alerter.close()
    receiver.close()


def test_a_flapping_alert_says_so():
    alert, said = None, []
    for number in range(6):
        alert = track.step(alert, verdict(number, (number + 1) % 2), AlertSettings(windows=1))
        said.append(alert.annotations.get("flapping", ""))
    assert said[:4] == [""] * 4 and said[4] == "fired 3 times within the hour: held open until 4 clear windows"
    assert alert.state == "firing"


async def test_a_silence_holds_back_and_its_end_lets_go(parts):
    log, repository = parts
    receiver, now, tables = Receiver(), [NOW + 11_000], AlertTables(repository.thread)
    rules = AlertSettings(windows=1, group_wait_ms=0, targets=(Target("ops", "slack", receiver.url),))
    silence = Silence(id="s1", matchers=[Matcher(name="entity", value="shop")], starts_ms=0, ends_ms=NOW + 30_000)
    await tables.put_silence(silence)
    alerter = PartitionAlerter(0, log, repository, rules, lambda: now[0])
    offset = await alerter.open()
    await log.append(VERDICTS, 0, encode_verdicts([verdict(0, 1), verdict(0, 1, "db<b>&")]))
    await alerter.process(await log.read(VERDICTS, 0, offset))

    async def run():
        for _ in range(3):
            await alerter.tick()
            await asyncio.sleep(0.05)

    await run()
    assert [body["text"].split("\n")[0] for body in receiver.taken()] == [
        ":rotating_light: *firing* db&lt;b&gt;&amp;: latency is six times as usual"
    ]
    assert {a.entity: a.silenced_by for a in await tables.alerts()} == {"shop": ["s1"], "db<b>&": []}
    now[0] = NOW + 30_000
    await run()
    assert len(receiver.taken()) == 2
    said = [msgspec.json.decode(r.value, type=Alert).entity for r in await log.read(ALERTS, 0, 0)]
    assert set(said) == {"shop", "db<b>&"}
    await alerter.close()
    receiver.close()
