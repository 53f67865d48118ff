"""A range in every shape says the same, whatever series are called."""

import csv
import io
import json

import numpy as np
import pyarrow
import pytest

from api.shapes import ENCODED_AT_ONCE, answer_of

NAMES = ['cpu{core="0",mode="x"}', "timestamp", "a b", "a b", "", "x\ny", "é😀", '"', "=1+1"]


def both(n, labels=NAMES):
    rng = np.random.default_rng(1)
    values = rng.normal(0, 1e6, (n, len(labels)))
    values[rng.random(values.shape) < 0.2] = np.nan
    return ["timestamp", *labels], 1_700_000_000_000 + np.arange(n) * 1000, values


@pytest.mark.parametrize("width", [len(NAMES), 3, 1, 0])
@pytest.mark.parametrize("n", [0, 1, 7, 2 * ENCODED_AT_ONCE // len(NAMES) + 3])
def test_every_shape_says_the_same(n, width):
    labels, starts, values = both(n, NAMES[:width])
    rows = [
        [s, *(None if np.isnan(v) else v for v in row)] for s, row in zip(starts.tolist(), values.tolist(), strict=True)
    ]
    about, more = {"rollup": "1m", "stat": "mean"}, {"flags": [], "periods": []}

    def body(shape):
        return answer_of(shape, labels, starts, values, about, more).body

    assert json.loads(body("json")) == about | {"labels": labels, "data": rows} | more
    assert json.loads(body("dygraphs")) == [labels, *rows]
    read = list(csv.reader(io.StringIO(body("csv").decode(), newline="")))
    assert read[0] == labels
    assert [[int(r[0]), *(float(v) if v else None for v in r[1:])] for r in read[1:]] == rows
    table = pyarrow.ipc.open_stream(body("arrow")).read_all()
    assert table.column_names == labels
    got = np.array([table.column(i).to_numpy() for i in range(1, len(labels))]).T.reshape(values.shape)
    np.testing.assert_array_equal(got, values)
    assert table.column(0).to_pylist() == starts.tolist()


def test_csv_of_plain_names_is_what_dygraphs_parses():
    text = answer_of("csv", ["timestamp", "cpu", "load 1"], np.array([5]), np.array([[0.5, np.nan]]), {}, {}).body
    assert text == b"timestamp,cpu,load 1\n5,0.5,\n"


def test_infinity_is_no_number_of_json():
    answer = answer_of("json", ["timestamp", "x"], np.array([5]), np.array([[np.inf]]), {}, {}).body
    assert json.loads(answer)["data"] == [[5, None]]
