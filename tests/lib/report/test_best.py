"""Which variant was taken for the best of several."""

from backfire.formats.atomic import write_json
from backfire.report.best import best_told


def test_who_takes_which_and_by_what_is_told(tmp_path):
    write_json(tmp_path / "best.json", {"chosen": "b", "measure": "AP", "values": {"a": 0.7, "b": 0.75}})
    write_json(tmp_path / "more.json", {"chosen": "a", "measure": "AP", "values": {"a": 0.7}})
    choosing = {"half": "best", "both": "best", "more": "more"}
    assert best_told([tmp_path / "best.json", tmp_path / "more.json"], choosing) == [
        "half and both take b for the best, by AP on the watched queries at the end of training: 0.7500 (a 0.7000).",
        "more takes a for the best, by AP on the watched queries at the end of training: 0.7000.",
    ]
    assert best_told([], {}) == []
