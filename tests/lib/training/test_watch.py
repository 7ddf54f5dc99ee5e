"""The early warning, in real trainings: one that ruins the model is told early, and ended where that is asked for."""

import json
import logging
import math

import numpy as np
import pytest
from small_training import DYNAMICS

from backfire.encoders.encoder import load_encoder
from backfire.encoders.encoding import encode
from backfire.explaining.moments import eigenvalues
from backfire.explaining.moments import participation_ratio as by_eigenvalues
from backfire.formats.tables import read_rows
from backfire.report.curves import accuracy, kept
from backfire.training.development import development_set, participation_ratio
from backfire.training.watch import BOUNDARY, HARM, Watch

pytestmark = pytest.mark.usefixtures("one_thread")
# Every look ranks a good part of the collection for all development queries there are.
LOOKING = DYNAMICS | {"interval": 1, "queries": 12, "pool": 48}
# Steps that no model survives.
RUINOUS = {"learning_rate": 0.02, "warmup_ratio": 0.0, "epochs": 3}


def test_a_training_that_ruins_the_model_is_told_once_and_goes_on(train, caplog, capfd):
    with caplog.at_level(logging.WARNING):
        folder, rows, _ = train("ruined", dynamics=LOOKING, **RUINOUS)
    notes = json.loads((folder / "training.json").read_text())
    alarm = notes["alarm"]
    assert len(rows) - 1 == 9 == notes["kept"]["step"] and notes["stopped"] is False
    assert 1 <= alarm["step"] < 9 and alarm["change"] < -0.1
    row = rows[alarm["step"]]
    assert row[HARM] > row[BOUNDARY] and all(
        not each[HARM] > (each[BOUNDARY] or math.inf) for each in rows[1 : alarm["step"]]
    )
    assert alarm["change"] == pytest.approx(row["dev_RR@10"] - rows[0]["dev_RR@10"])
    told = f"test: early warning after step {alarm['step']}: the watched queries have lost {-alarm['change']:.4f} on"
    assert capfd.readouterr().err.count(told) == 1 and caplog.text.count(told) == 1


def test_where_it_is_to_stop_the_last_step_is_that_of_the_alarm(train):
    _, through, _ = train("through", dynamics=LOOKING, **RUINOUS)
    folder, rows, _ = train("stopped", dynamics=LOOKING | {"on_harm": "stop"}, **RUINOUS)
    notes = json.loads((folder / "training.json").read_text())
    last = notes["alarm"]["step"]
    assert notes["stopped"] and notes["kept"] == {"step": last, "steps": 9} and len(rows) == last + 1 < len(through)
    # The same steps as without: the schedule is that of the whole training.
    assert rows == [{name: row[name] for name in rows[0]} for row in through[: last + 1]]
    vectors = encode(load_encoder(folder, "fp32"), ["Return a random choice."], "query", 32, 512)
    assert np.isfinite(vectors).all()


def test_a_training_that_is_stopped_keeps_the_best_of_its_looks(train):
    """Its last step is one of them, also where no other was due."""
    held_out = {"share": 0.25, "by": "example", "interval": None, "measure": "loss"}
    options = RUINOUS | {"keep": "best", "held_out": held_out, "epochs": 12, "batch_size": 12}
    folder, rows, _ = train("best", dynamics=LOOKING | {"on_harm": "stop"}, **options)
    notes = json.loads((folder / "training.json").read_text())
    last = notes["alarm"]["step"]
    looks = {step: loss for step, loss, _ in notes["held_out"]["looks"]}
    assert notes["stopped"] and last in looks and rows[-1]["step"] == last
    assert notes["kept"]["step"] == min((step for step in looks if step), key=looks.__getitem__)
    assert kept(notes).startswith(f"step {notes['kept']['step']} of 12, best of ")
    end = notes | {"settings": notes["settings"] | {"keep": "last"}, "kept": {"step": last, "steps": 12}}
    assert kept(end) == f"step {last} of 12, where the early warning ended it" and accuracy(end) is not None


def test_a_gentle_training_gives_no_alarm_and_describes_each_look(train):
    folder, rows, _ = train("gentle", dynamics=LOOKING)
    assert json.loads((folder / "training.json").read_text())["alarm"] is None
    for row in rows:
        assert row["positive_p10"] <= row["positive_p50"] <= row["positive_p90"] <= 1
        assert row["negative_p10"] <= row["negative_p50"] <= row["negative_p90"] <= 1
        assert 1 < row["pool_participation_ratio"] < 384 and row["pool_norm"] > 0
    assert rows[0][HARM] is None and all(row[HARM] is not None for row in rows[1:])


def test_what_describes_a_look_is_what_the_saved_model_gives(train, files, base_model, tmp_path):
    folder, rows, _ = train("model", dynamics=LOOKING, precision="fp32")
    encoder = load_encoder(folder, "fp32")
    paths = (files["development_queries"], files["development_qrels"], files["corpus"])
    watched = development_set(*paths, 12, 48, encoder.tokenizer, 32)
    texts = {row["doc_id"]: row["text"] for row in read_rows(files["corpus"][0], "corpus").to_pylist()}
    asked = {row["query_id"]: row["text"] for row in read_rows(paths[0], "queries").to_pylist()}
    passages = encode(encoder, [texts[doc_id] for doc_id in watched.passage_ids], "document", 32)
    scores = encode(encoder, [asked[query_id] for query_id in watched.query_ids], "query", 32) @ passages.T
    answer = np.array([[doc_id == query_id[2:] for doc_id in watched.passage_ids] for query_id in watched.query_ids])
    for name, values in {"positive": scores[answer], "negative": np.where(answer, -1, scores).max(axis=1)}.items():
        for percentile in (10, 50, 90):
            assert rows[-1][f"{name}_p{percentile}"] == pytest.approx(np.percentile(values, percentile), abs=1e-5)
    covariance = np.cov(passages.T.astype(np.float64), bias=True)
    expected = by_eigenvalues(eigenvalues(covariance))
    assert rows[-1]["pool_participation_ratio"] == pytest.approx(expected, rel=1e-4)
    assert participation_ratio(passages) == pytest.approx(expected, rel=1e-6)


def test_spreads_in_closed_form():
    rng = np.random.default_rng(0)
    assert participation_ratio(rng.normal(size=(200_000, 8))) == pytest.approx(8, rel=1e-3)
    assert participation_ratio(np.outer(rng.normal(size=50), rng.normal(size=8))) == pytest.approx(1)
    assert participation_ratio(np.ones((5, 8))) == 0


def test_a_watch_that_goes_on_after_a_kill_sees_what_an_unbroken_one_sees():
    rng = np.random.default_rng(0)
    start = rng.random(40)
    looks = [start, *(np.clip(start - 0.02 * number + rng.normal(0, 0.02, 40), 0, 1) for number in range(1, 7))]
    make = lambda: [  # noqa: E731
        {"step": number, "look": {"RR@10": dict(zip(map(str, range(40)), each.tolist(), strict=True))}}
        for number, each in enumerate(looks)
    ]
    through, rows = Watch("RR@10", 6, 0.05), make()
    for last in range(1, len(rows) + 1):
        through.follow(rows[:last], "look")
    killed, before = Watch("RR@10", 6, 0.05), make()
    killed.follow(before[:4], "look")
    again, after = Watch("RR@10", 6, 0.05), before
    again.follow(after, "look")
    assert through.alarm == again.alarm is not None
    assert [row.get(HARM) for row in rows] == [row.get(HARM) for row in after]
