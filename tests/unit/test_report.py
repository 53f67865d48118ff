"""The report of an evaluation: one file that asks nobody, whatever its series are called."""

import re
from xml.etree import ElementTree

import numpy as np

from foreshock.report import Scored, false_alarms, missed, write_report
from foreshock.scored import read_nab

HOSTILE = '"><script>alert(1)</script><img src=http://evil.example/x>&'


def scored(name, seed, *, blind=False):
    rng = np.random.default_rng(seed)
    label = np.zeros(1000, bool)
    label[400:430] = label[800:820] = True
    score = rng.random(1000) * 0.5 + np.where(label & (not blind), 0.5, 0)
    return Scored(name, score, label, np.where(np.arange(1000) < 50, np.nan, score * 0.3))


def test_the_page_is_whole_and_asks_nobody(tmp_path):
    page = tmp_path / "deep" / "report.html"
    write_report(page, f"machines {HOSTILE}", [scored("web-1", 1), scored(HOSTILE, 2, blind=True)])
    text = page.read_text()
    assert "<script" not in text and "<img" not in text and "&lt;script&gt;" in text
    assert not re.search(r"<[^>]*\b(src|href|on\w+)\s*=", text) and "url(" not in text and "@import" not in text
    pictures = re.findall(r"<svg.*?</svg>", text, re.DOTALL)
    assert len(pictures) > 3
    for picture in pictures:
        ElementTree.fromstring(picture)
    assert text.count('class="incident"') >= 2 and "average precision" in text and "nan" not in text


def test_the_worst_cases_are_those_that_were_missed_and_those_that_were_loudest():
    good, blind = scored("good", 1), scored("blind", 2, blind=True)
    assert missed([good, blind])[0].of.name == "blind"
    loud = blind._replace(score=np.where(np.arange(1000) == 123, 0.99, blind.score))
    first = false_alarms([good, loud])[0]
    assert first.of.name == "blind" and first.at == 123
    within = loud._replace(score=np.where(np.arange(1000) == 410, 1.0, loud.score))
    assert false_alarms([within])[0].at == 123


def test_without_labels_it_says_so(tmp_path):
    page = tmp_path / "report.html"
    write_report(page, "nab", [Scored("a", np.linspace(0, 1, 10), None)])
    assert "nothing to be right about" in page.read_text()


def test_what_an_evaluation_wrote_is_read_beside_the_labels(tmp_path):
    folder, out = tmp_path / "corpus", tmp_path / "out"
    rows = [f"2026-01-01 00:{minute:02}:00" for minute in range(60)]
    for root, column in ((folder, "value"), (out, "anomaly_score")):
        (root / "a").mkdir(parents=True)
        text = f"timestamp,{column}\n" + "".join(f"{at},{i / 100}\n" for i, at in enumerate(rows))
        (root / "a" / "b.csv").write_text(text)
    (series,) = read_nab(folder, out)
    assert series.name == "a/b.csv" and series.label is None and series.score[10] == 0.1
    (folder / "windows.json").write_text('{"a/b.csv": [["2026-01-01 00:10:00.000000", "2026-01-01 00:19:00.000000"]]}')
    assert read_nab(folder, out)[0].label.nonzero()[0].tolist() == list(range(10, 20))
