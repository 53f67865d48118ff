"""Promises that every kind of model keeps, and what tells them apart."""

import importlib.util
import os

import numpy as np
import pytest

from stream.features.vector import PER_METRIC, SUMMARY
from stream.models.base import Learned, Seen, pack, unpack
from stream.models.history import CHANNELS, LENGTH
from stream.models.kinds import KINDS, absent, at_hand
from stream.models.lstm import TRAIN_EVERY_MS
from stream.models.reservoir import SIZES, Reservoir

HEADS, MIDDLE, METRICS = 3, 1, 2
MINUTE = 60_000
HAVE_JAX = importlib.util.find_spec("jax") is not None
if os.environ.get("CI") == "true":
    assert HAVE_JAX, "make test installs foreshock[lstm]"
EVERY = [pytest.param(k, marks=pytest.mark.skipif(k == "lstm" and not HAVE_JAX, reason="no JAX")) for k in KINDS]


def windows(n, seed, first=0, rows=6, metrics=METRICS):
    """Blocks of windows; of those labelled, the values alternate instead of wandering, at the same size."""
    rng = np.random.default_rng(seed)
    for number in range(first, first + n):
        y = np.tile((rng.random((rows, 1)) < 0.25).astype(float), (1, HEADS))
        y[:, 0] = 0
        past = rng.normal(0, 1, (rows, LENGTH, metrics, len(CHANNELS)))
        kept = 0.8 * np.abs(past[..., -1])
        sign = np.where(np.arange(LENGTH) % 2 == 0, 1, -1)[None, :, None]
        wander = np.sign(np.cumsum(rng.normal(0, 1, kept.shape), 1))
        past[..., -1] = kept * np.where(y[:, 1, None, None] == 1, sign, wander)
        x = rng.normal(0, 1, (rows, len(SUMMARY) + PER_METRIC * metrics)).astype(np.float16)
        seen = Seen(x, past.astype(np.float16))
        yield Learned(seen, y, np.full(rows, number), np.full(rows, number * 10 * MINUTE), np.full(rows, np.nan))


def taught(kind, blocks):
    model = KINDS[kind](HEADS, MIDDLE)
    for block in blocks:
        model.learn(block)
        model.train(int(block.at_ms[-1]))
    return model


@pytest.mark.parametrize("kind", EVERY)
def test_a_snapshot_anywhere_changes_nothing(kind):
    blocks = list(windows(160, 1))
    whole, first = KINDS[kind](HEADS, MIDDLE), KINDS[kind](HEADS, MIDDLE)
    for block in blocks:
        whole.learn(block)
        whole.train(int(block.at_ms[-1]))
    for at, block in enumerate(blocks):
        if at in (37, 90):
            second = KINDS[kind](HEADS, MIDDLE)
            second.restore(unpack(pack(first.state())))
            first = second
        first.learn(block)
        first.train(int(block.at_ms[-1]))
    assert pack(first.state()) == pack(whole.state())
    seen = blocks[0].seen
    np.testing.assert_array_equal(first.logits(seen), whole.logits(seen))


@pytest.mark.parametrize("kind", EVERY)
def test_scoring_changes_nothing_and_works_before_anything_was_learned(kind):
    model = KINDS[kind](HEADS, MIDDLE)
    block = next(windows(1, 2))
    assert np.isfinite(model.logits(block.seen)).all()
    model = taught(kind, windows(80, 2))
    before = pack(model.state())
    assert model.logits(block.seen).shape == (6, HEADS)
    assert pack(model.state()) == before


@pytest.mark.parametrize("kind", EVERY)
def test_new_metrics_only_append(kind):
    model = taught(kind, windows(80, 3))
    wider = next(windows(1, 4, first=1000, metrics=METRICS + 3))
    assert np.isfinite(model.logits(wider.seen)).all()
    model.learn(wider)
    model.train(10**9)
    assert np.isfinite(model.logits(wider.seen)).all() and np.isfinite(model.logits(next(windows(1, 5)).seen)).all()


@pytest.mark.parametrize("kind", EVERY)
def test_shares_sum_to_the_logit(kind):
    model = taught(kind, windows(120, 6))
    seen = next(windows(1, 7)).seen
    one = Seen(seen.x[:1], seen.past[:1])
    shares, rest = model.shares(one, MIDDLE, np.arange(METRICS, dtype=float))
    assert shares.sum() + rest == pytest.approx(model.logits(one)[0, MIDDLE], abs=1e-6)


@pytest.mark.parametrize("kind", EVERY)
def test_memory_is_bounded(kind):
    sizes = [len(pack(taught(kind, windows(n, 8, rows=20)).state())) for n in (250, 500)]
    assert sizes[1] < 1.15 * sizes[0]


def auc(kind):
    model = taught(kind, windows(400, 9))
    if kind == "lstm":
        for turn in range(6):
            model._news = True
            model.train(10**9 + turn * TRAIN_EVERY_MS)
    blocks = list(windows(40, 10))
    p = np.concatenate([model.logits(b.seen)[:, MIDDLE] for b in blocks])
    y = np.concatenate([b.y[:, MIDDLE] for b in blocks])
    return (p[y == 1][:, None] > p[y == 0][None]).mean()


def test_the_order_of_values_is_seen_by_neighbours_and_not_by_a_single_window():
    assert auc("knn") > 0.8
    assert auc("logistic") < 0.65


@pytest.mark.skipif(not HAVE_JAX, reason="no JAX")
def test_the_order_of_values_is_seen_by_the_lstm():
    assert auc("lstm") > 0.8


def test_an_absent_kind_says_what_to_install_and_the_first_always_answers(monkeypatch):
    assert at_hand(())[0] == "logistic"
    monkeypatch.setattr("stream.models.lstm.find_spec", lambda _: None)
    assert "pip install" in absent("lstm") and "lstm" not in at_hand(("lstm", "knn"))


def test_a_reservoir_keeps_rare_labels_and_is_the_same_in_any_blocks():
    rng = np.random.default_rng(0)
    n = 6000
    y = np.zeros((n, HEADS))
    y[rng.random(n) < 0.02, 1] = 1
    y[rng.random(n) < 0.01, 0] = 1
    x = rng.normal(0, 1, (n, 3)).astype(np.float16)
    number, at = np.arange(n) // 4, np.arange(n) // 4 * MINUTE
    whole, parts = Reservoir(3, HEADS), Reservoir(3, HEADS)
    nothing = Seen(x[:0], x[:0])
    whole.add(x, Learned(nothing, y, number, at, np.zeros(n)), MIDDLE)
    for low in range(0, n, 400):
        part = slice(low, low + 400)
        parts.add(x[part], Learned(nothing, y[part], number[part], at[part], np.zeros(len(y[part]))), MIDDLE)
    assert sorted(whole.key.tolist()) == sorted(parts.key.tolist())
    kept = np.bincount(whole.stratum, minlength=4)
    assert (kept <= SIZES).all() and kept[0] == SIZES[0]
    assert kept[2] == ((y[:, 1] == 1) & (y[:, 0] == 0)).sum() and kept[3] == (y[:, 0] == 1).sum()
