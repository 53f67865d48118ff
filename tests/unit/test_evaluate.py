"""An evaluation gives every row a score, whatever its file is like, and no score depends on a row behind it."""

import csv
import json
import random
from datetime import datetime, timedelta

import numpy as np
import pytest

from foreshock.evaluate import evaluate_machines, evaluate_nab
from foreshock.scored import read_nab
from schemas.errors import DataError


def lines(number, seed=3):
    """Rows as a site logs them: steps that vary, times that repeat, a level that moves."""
    rng, at, out = random.Random(seed), datetime.fromisoformat("2020-01-01T00:00:00"), []
    for n in range(number):
        at += timedelta(minutes=rng.choice([0, 5, 5, 5, 17]))
        out.append(f"{at},{rng.gauss(10 if n < number // 2 else 14, 1):.3f}")
    return out


def nab(folder, rows, head="timestamp,value", end="\n", encoding="utf-8"):
    """Return the rows of the scores of a file; floats, in its order."""
    (folder / "in/sub").mkdir(parents=True, exist_ok=True)
    (folder / "in/sub/a.csv").write_bytes(end.join([head, *rows, ""]).encode(encoding))
    said = list(evaluate_nab(folder / "in", folder / "out"))
    with (folder / "out/sub/a.csv").open(newline="") as file:
        return list(csv.DictReader(file)), said


def scores(found):
    return [float(row["anomaly_score"]) for row in found[0]]


@pytest.mark.parametrize("cut", [40, 101, 239])
def test_what_comes_later_changes_no_score_of_a_file(tmp_path, cut):
    rows = lines(240)
    whole = scores(nab(tmp_path, rows))
    assert len(whole) == 240 and all(0 <= s <= 1 for s in whole) and max(whole) > 0.1
    assert scores(nab(tmp_path, rows[:cut])) == whole[:cut]
    other = rows[:cut] + ["2031-01-01 00:00:00,1e9", "no time,-5"] * 10
    assert scores(nab(tmp_path, other))[:cut] == whole[:cut]


def test_the_same_values_get_the_same_scores_however_they_are_written(tmp_path):
    rows = lines(120)
    plain = nab(tmp_path, rows)
    assert [row["timestamp"] for row in plain[0]] == [row.partition(",")[0] for row in rows]
    for found in (
        nab(tmp_path, rows, end="\r\n"),
        nab(tmp_path, rows, encoding="utf-8-sig"),
        nab(tmp_path, rows, head=" Timestamp, VALUE"),
        nab(tmp_path, [",".join(row.split(",")[::-1]) for row in rows], head="value,timestamp"),
        nab(tmp_path, [f"{row},x" for row in rows], head="timestamp,value,note"),
        nab(tmp_path, [row.replace(" ", "T").replace(",", "Z,") for row in rows]),
    ):
        assert scores(found) == scores(plain)


def test_rows_that_cannot_be_read_get_a_score_and_are_counted(tmp_path):
    rows = lines(250)
    odd = [
        "2020-01-02 00:00:00",
        "2020-01-02 00:05:00,",
        "2020-01-02 00:10:00,abc",
        "soon,3",
        "2020-01-02,nan",
        ",",
        '"',
    ]
    found, said = nab(tmp_path, rows[:200] + odd[:6] + rows[200:] + odd[6:])
    assert len(found) == 257 and all(0 <= float(row["anomaly_score"]) <= 1 for row in found)
    assert said == ["sub/a.csv; 7 of its rows have no time or no value that can be read"]
    assert scores((found, said))[:200] == scores(nab(tmp_path, rows))[:200]
    (tmp_path / "in/windows.json").write_text(json.dumps({}))
    nab(tmp_path, ["soon,1", "later,2"])
    assert [len(one.score) for one in read_nab(tmp_path / "in", tmp_path / "out")] == [2]


@pytest.mark.parametrize("rows", [[], ["2020-01-01 00:00:00,1"], ["2020-01-01 00:00:00,5"] * 150])
def test_files_of_little_or_nothing_new(tmp_path, rows):
    assert len(scores(nab(tmp_path, rows))) == len(rows)


def test_a_file_of_another_kind_is_named_and_a_folder_without_any_refused(tmp_path):
    nab(tmp_path, lines(5))
    (tmp_path / "in/other.csv").write_text("a,b\n1,2\n")
    (tmp_path / "in/none.csv").write_text("")
    said = list(evaluate_nab(tmp_path / "in", tmp_path / "in/out"))
    assert [line.partition(":")[0] for line in said] == ["none.csv", "other.csv", "sub/a.csv"]
    (tmp_path / "empty").mkdir()
    for evaluate in (evaluate_nab, evaluate_machines):
        with pytest.raises(DataError, match="there is no"):
            list(evaluate(tmp_path / "empty", tmp_path / "out"))


def machines(folder, parts):
    """Return float[rows of train and test, 2] of each machine: anomaly_score and p_incident."""
    (folder / "in").mkdir(exist_ok=True)
    for name, arrays in parts.items():
        np.savez(folder / f"in/{name}.npz", **arrays)
    assert list(evaluate_machines(folder / "in", folder / "out")) == sorted(parts)
    out = {}
    for name, arrays in parts.items():
        found = []
        for suffix, rows in ((".train", len(arrays.get("train", ()))), ("", len(arrays["test"]))):
            with (folder / f"out/{name}{suffix}.csv").open(newline="") as file:
                part = list(csv.DictReader(file))
            assert [int(row["row"]) for row in part] == list(range(rows))
            found += [[float(row["anomaly_score"]), float(row["p_incident"] or "nan")] for row in part]
        out[name] = np.array(found)
    return out


def made(rows, columns, seed):
    values = np.random.default_rng(seed).normal(0.4, 0.05, (rows, columns)).astype(np.float32)
    values[:, 0] = 0.0  # a column that never moves
    values[rows // 3, 1] = np.nan
    values[rows // 2, 2] = np.inf
    values[rows // 2 : rows // 2 + 9, 3:] += 0.4
    return values


def test_machines_of_other_shapes_and_no_row_knows_those_behind_it(tmp_path):
    label = np.zeros(240, np.int8)
    label[120:129] = label[200:206] = 1
    parts = {
        "odd name.1": {"train": made(200, 8, 1), "test": made(240, 8, 2), "label": label},
        "b": {"test": made(300, 5, 3).astype(np.float64)},  # neither train nor label, fewer columns
        "c": {"train": made(30, 8, 4), "test": made(350, 8, 5), "label": np.zeros(350)},
    }
    whole = machines(tmp_path, parts)
    for name, found in whole.items():
        assert len(found) == len(parts[name].get("train", ())) + len(parts[name]["test"])
        assert ((found[:, 0] >= 0) & (found[:, 0] <= 1)).all()
        assert (np.isnan(found[:, 1]) | ((found[:, 1] >= 0) & (found[:, 1] <= 1))).all()
    assert all(np.array_equal(machines(tmp_path, parts)[name], whole[name], equal_nan=True) for name in parts)
    # Cut every machine at row 325 of the whole, in the middle of an incident of the first.
    cut = {
        "odd name.1": {"train": parts["odd name.1"]["train"], "test": made(240, 8, 2)[:125], "label": label[:125]},
        "b": {"test": made(300, 5, 3)},
        "c": {"train": made(30, 8, 4), "test": made(350, 8, 5)[:295], "label": np.zeros(295)},
    }
    (tmp_path / "cut").mkdir()
    for name, found in machines(tmp_path / "cut", cut).items():
        same = min(325, len(found))
        assert np.array_equal(found[:same], whole[name][:same], equal_nan=True), name


@pytest.mark.parametrize("wrong", [{"train": np.zeros((3, 2))}, {"test": np.zeros((3, 2)), "label": np.zeros(2)}])
def test_a_machine_that_cannot_be_read_is_named(tmp_path, wrong):
    np.savez(tmp_path / "m.npz", **wrong)
    with pytest.raises(DataError, match="m.npz"):
        list(evaluate_machines(tmp_path, tmp_path / "out"))
    (tmp_path / "m.npz").write_bytes(b"no zip")
    with pytest.raises(DataError, match="m.npz"):
        list(evaluate_machines(tmp_path, tmp_path / "out"))
