"""The short form of ``make chaos``."""

import pytest

from tests.cluster.chaos import campaign


@pytest.mark.cluster
def test_a_minute_of_faults_loses_doubles_and_leaves_untold_nothing(tmp_path):
    report = campaign(seed=4, seconds=30, folder=tmp_path)
    assert report["wrong"] == [], report
    assert sum(report["faults"].values()) >= 4 and report["samples_acknowledged"] > 1000, report
