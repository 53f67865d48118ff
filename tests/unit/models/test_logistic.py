"""Our vectorised logistic regression against River's own."""

import numpy as np
import pandas as pd
import pytest
from river import linear_model, optim, preprocessing

from stream.models.base import sigmoid
from stream.models.figures import Figures
from stream.models.logistic import Calibration, Logistic, Scaler


def rows(n, features, seed):
    rng = np.random.default_rng(seed)
    x = rng.normal(0, 2, (n, features))
    return x, (rng.random(n) < sigmoid(x @ rng.normal(0, 1, features))).astype(float)


@pytest.mark.parametrize("seed", range(3))
def test_one_row_at_a_time_equals_rivers_learn_one(seed):
    x, y = rows(300, 7, seed)
    ours = Logistic(7, 1, rate=0.05, intercept_rate=0.01)
    theirs = linear_model.LogisticRegression(optim.SGD(0.05), intercept_lr=0.01)
    for one, label in zip(x, y, strict=True):
        features = dict(enumerate(one))
        assert ours.predict(one[None])[0, 0] == pytest.approx(theirs.predict_proba_one(features)[True], abs=1e-6)
        ours.learn(one[None], np.array([[label]]))
        theirs.learn_one(features, bool(label))
    assert ours.weights[:, 0] == pytest.approx([theirs.weights[i] for i in range(7)], abs=1e-6)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("adaptive", [0.0, 0.01])
def test_batches_equal_rivers_learn_many(seed, adaptive):
    x, y = rows(600, 5, seed)
    names = [f"f{i}" for i in range(5)]
    ours = Logistic(5, 1, rate=0.05, intercept_rate=0.01, adaptive=adaptive)
    optimizer = optim.AdaGrad(0.05, eps=adaptive) if adaptive else optim.SGD(0.05)
    theirs = linear_model.LogisticRegression(optimizer, intercept_lr=0.01)
    for at in range(0, 600, 50):
        part, labels = x[at : at + 50], y[at : at + 50]
        ours.learn(part, labels[:, None])
        theirs.learn_many(pd.DataFrame(part, columns=names), pd.Series(labels.astype(bool)))
    assert ours.weights[:, 0] == pytest.approx([theirs.weights[n] for n in names], abs=1e-6)
    assert ours.bias[0] == pytest.approx(theirs.intercept, abs=1e-6)


def test_calibration_keeps_the_order_and_ends_at_the_shares_that_were_seen():
    rng = np.random.default_rng(2)
    z = rng.uniform(-6, 6, (40_000, 1))
    y = (rng.random(z.shape) < sigmoid(z / 2 - 1)).astype(float)
    calibration = Calibration(1)
    assert calibration.apply(z[:9]) == pytest.approx(sigmoid(z[:9]), abs=0.05)
    for at in range(0, len(z), 400):
        calibration.add(z[at : at + 400], y[at : at + 400])
    grid = np.linspace(-5, 5, 200)[:, None]
    p = calibration.apply(grid)
    assert (np.diff(p[:, 0]) > 0).all()
    assert p == pytest.approx(sigmoid(grid / 2 - 1), abs=0.06)


def test_the_scaler_equals_rivers():
    x, _ = rows(500, 4, 1)
    ours, theirs = Scaler(4), preprocessing.StandardScaler()
    names = list("abcd")
    for at in range(0, 500, 50):
        ours.learn(x[at : at + 50])
        theirs.learn_many(pd.DataFrame(x[at : at + 50], columns=names))
    want = theirs.transform_many(pd.DataFrame(x, columns=names)).to_numpy()
    np.testing.assert_allclose(ours.transform(x), want, atol=1e-6)


def test_the_auc_is_that_of_all_pairs():
    rng = np.random.default_rng(0)
    p, y = rng.random(400), (rng.random(400) < 0.2).astype(float)
    p = np.clip(p + 0.3 * y, 0.001, 0.999)
    figures = Figures()
    for at in range(0, 400, 7):
        figures.add(p[at : at + 7], y[at : at + 7])
    pairs = p[y == 1][:, None] - p[y == 0][None]
    assert figures.roc_auc() == pytest.approx((pairs > 0).mean() + (pairs == 0).mean() / 2, abs=2e-3)
    assert figures.brier() == pytest.approx(((p - y) ** 2).mean())


def test_a_constant_answer_has_an_auc_of_one_half():
    figures = Figures()
    figures.add(np.full(100, 0.2), (np.arange(100) % 5 == 0).astype(float))
    assert figures.roc_auc() == pytest.approx(0.5)
