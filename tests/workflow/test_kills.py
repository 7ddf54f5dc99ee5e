"""A run that is killed goes on, and ends as one that was not; `python -m tests.kills` does it at length."""

import pytest

from kills import Killing, differing

pytestmark = pytest.mark.workflow
TARGET = "results/tiny/measures/base/seed-0.parquet"


def test_killed_engines_and_jobs_cost_what_they_were_doing(tiny, tmp_path):
    runs = Killing(tmp_path, tiny.study, [TARGET], tiny.source)
    runs.disturbed(jobs=15, kills=3, seed=1)
    assert runs.problems == []
    assert runs.kills == {"engine": 2, "job": 1}
    assert runs.unlocked == 2
    assert differing(tmp_path, tiny.directory, TARGET) == []
