"""Examples that are held out, the looks at them, and which weights are kept: with the real model and real text."""

import json
import os
import shutil
import signal

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from small_training import LORA

from backfire.encoders.encoder import load_encoder
from backfire.encoders.encoding import encode
from backfire.errors import BackfireError
from backfire.formats.tables import read_rows
from backfire.keyed import keyed_sample
from backfire.training.held_out import held_out
from backfire.training.recorder import Recorder
from backfire.training.steps import Stepper

# A rate that rises to the end, so that training helps first and breaks the model then.
RISING = {"learning_rate": 3.0e-3, "warmup_ratio": 1.0, "batch_size": 6, "epochs": 4}
QUARTER = {"share": 0.25, "by": "query", "interval": 1, "measure": "loss"}


@pytest.fixture
def twice(files, docstrings, table):
    """24 triples, two for each of 12 queries, in place of the collection's own."""
    name = [row[0] for row in docstrings]
    rows = [
        {"query_id": f"q:{name[i]}", "positive_id": name[i], "negative_id": name[(i + far) % 48], "source": "random"}
        for i in range(12)
        for far in (1, 2)
    ]
    files["triples"] = table("twice", "triples", numbered(rows))
    return files["triples"]


def numbered(rows, each=1):
    """Rows of a triple table, so many of them an example."""
    return [row | {"example": place // each} for place, row in enumerate(rows)]


def notes(folder):
    return json.loads((folder / "training.json").read_text())


def weights(folder):
    return load_file(folder / "model.safetensors")


def test_the_best_look_is_kept_and_all_of_it_is_recorded(twice, train, real_model):
    folder, rows, _ = train("best", real_model, keep="best", held_out=QUARTER, **RISING)
    looks = {row["step"]: (row["held_out_loss"], row["held_out_accuracy"]) for row in rows}
    assert list(looks) == list(range(13)) and all(0 <= accuracy <= 1 for _, accuracy in looks.values())
    losses = [loss for loss, _ in looks.values()]
    best = 1 + int(np.argmin(losses[1:]))
    # The second half breaks what the first one taught.
    assert 1 < best <= 6 and losses[best] < losses[0] and min(losses[7:]) > 1.5 * losses[best]
    said = notes(folder)
    assert said["kept"] == {"step": best, "steps": 12}
    assert said["held_out"] == {"examples": 6, "queries": 3, "looks": [[step, *found] for step, found in looks.items()]}


@pytest.mark.parametrize("method", [{}, {"method": "lora", "lora": LORA, "learning_rate": 0.3}])
def test_the_weights_kept_are_those_of_a_training_that_is_stopped_there(twice, train, tmp_path, monkeypatch, method):
    settings = RISING | method | {"held_out": QUARTER}
    folder, rows, _ = train("best", keep="best", **settings)
    step = notes(folder)["kept"]["step"]
    assert step < 12
    plain = Recorder.add

    def add(recorder, taken):
        plain(recorder, taken)
        if len(recorder.rows) == step + 1:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(Recorder, "add", add)
        train("stopped", keep="last", **settings)
    (state,) = (tmp_path / "checkpoints/stopped").glob("*/step-*")
    stopped = {
        name.removeprefix("weights/"): tensor
        for name, tensor in load_file(state).items()
        if name.startswith("weights/")
    }
    assert not any("kept" in name for name in load_file(state))
    if method:
        kept = load_file(folder / "adapter/adapter_model.safetensors")
        kept = {name.removeprefix("base_model.model."): tensor for name, tensor in kept.items()}
        stopped = {name.replace(".default", ""): tensor for name, tensor in stopped.items()}
    else:
        kept = {name: tensor for name, tensor in weights(folder).items() if name in stopped}
    assert kept.keys() == stopped.keys()
    assert all(torch.equal(tensor, stopped[name]) for name, tensor in kept.items())
    # Up to the end it goes as the other one does, and ends elsewhere.
    last, others, _ = train("stopped", keep="last", **settings)
    assert others == rows
    assert notes(last)["kept"] == {"step": 12, "steps": 12}
    assert (last / "model.safetensors").read_bytes() != (folder / "model.safetensors").read_bytes()


def test_no_query_that_is_held_out_is_trained_on(twice, train, monkeypatch):
    trained, judged = [], []
    step, judge = Stepper.step, Stepper.judge

    def noting_step(stepper, examples, chosen, *more):
        trained.append(examples.rows[chosen])
        return step(stepper, examples, chosen, *more)

    def noting_judge(stepper, examples, batch_size):
        judged.append(examples.rows)
        return judge(stepper, examples, batch_size)

    monkeypatch.setattr(Stepper, "step", noting_step)
    monkeypatch.setattr(Stepper, "judge", noting_judge)
    _, rows, _ = train("by-query", held_out=QUARTER | {"interval": None}, batch_size=4, epochs=2, learning_rate=1e-6)
    # At the start and after each epoch.
    assert [row["step"] for row in rows if row["held_out_loss"] is not None] == [0, 5, 10]
    assert len(judged) == 3 and all((each == judged[0]).all() for each in judged)
    seen, unseen = np.concatenate(trained), judged[0]
    assert len(seen) == 2 * 18 and len(unseen) == 6
    assert not set(seen[:, 0]) & set(unseen[:, 0]) and len({*seen[:, 0], *unseen[:, 0]}) == 12
    trained.clear(), judged.clear()
    train("by-example", held_out=QUARTER | {"interval": None, "by": "example"}, batch_size=4, learning_rate=1e-6)
    seen, unseen = {tuple(row) for row in np.concatenate(trained)}, {tuple(row) for row in judged[0]}
    assert len(seen) == 18 and len(unseen) == 6 and not seen & unseen
    assert {row[0] for row in seen} & {row[0] for row in unseen}


def test_a_look_says_what_the_library_says(twice, train, files, base_model):
    """Loss of the whole and cosine accuracy, at the start and of the weights that were kept."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.evaluation import TripletEvaluator

    folder, rows, _ = train("best", keep="best", held_out=QUARTER, precision="fp32", **RISING)
    table = read_rows(twice, "triples").to_pandas()[held_out(twice, 0.25, "query", 0)]
    texts = {row["query_id"]: row["text"] for row in read_rows(files["queries"], "queries").to_pylist()}
    texts |= {row["doc_id"]: row["text"] for row in read_rows(files["corpus"][0], "corpus").to_pylist()}
    columns = [[texts[row] for row in table[name]] for name in ("query_id", "positive_id", "negative_id")]
    for model, step in ((base_model, 0), (folder, notes(folder)["kept"]["step"])):
        query, positive, negative = (encode(load_encoder(model, "fp32"), each, "document", 32, 512) for each in columns)
        loss = np.maximum(0, (query * negative).sum(axis=1) - (query * positive).sum(axis=1) + 0.5).mean()
        assert rows[step]["held_out_loss"] == pytest.approx(float(loss), abs=1e-5)
        peer = SentenceTransformer(str(model), device="cpu")
        peer.max_seq_length = 32
        found = TripletEvaluator(*columns, main_similarity_function="cosine")(peer)
        assert rows[step]["held_out_accuracy"] == pytest.approx(found["cosine_accuracy"], rel=1e-6)


def test_of_looks_that_are_equal_the_earliest_is_kept(twice, train):
    """By accuracy, which a rate of nearly nothing never changes."""
    settings = {"held_out": QUARTER | {"measure": "accuracy"}, "keep": "best", "batch_size": 6, "learning_rate": 1e-9}
    folder, rows, _ = train("still", **settings)
    assert len({row["held_out_accuracy"] for row in rows}) == 1 and len(rows) == 4
    assert notes(folder)["kept"] == {"step": 1, "steps": 3}


def test_another_layout_is_looked_at_by_sentence_transformers(twice, train, base_model, tmp_path):
    """The same weights behind a pooling that plain BERT does not have: the same looks, and the same step is kept."""
    other = tmp_path / "other-layout"
    shutil.copytree(base_model, other)
    config = json.loads((other / "1_Pooling" / "config.json").read_text())
    (other / "1_Pooling" / "config.json").write_text(json.dumps(config | {"include_prompt": False}))
    settings = {"held_out": QUARTER, "keep": "best", "precision": "fp32"} | RISING | {"epochs": 2}
    (ours, ourselves, _), (theirs, themselves, _) = train("plain", **settings), train("other", start=other, **settings)
    assert notes(theirs)["kept"] == notes(ours)["kept"]
    for one, two in zip(ourselves, themselves, strict=True):
        assert one["held_out_loss"] == pytest.approx(two["held_out_loss"], abs=2e-3)


def test_which_are_held_out_depends_on_seed_and_ids_alone(twice, table):
    rows = read_rows(twice, "triples").to_pylist()
    turned = table("turned", "triples", numbered(rows[::-1]))
    for by, count in (("query", 3), ("example", 6)):
        chosen = held_out(twice, 0.25, by, 7)
        assert chosen.sum() == 6
        np.testing.assert_array_equal(held_out(turned, 0.25, by, 7)[::-1], chosen)
        more = held_out(twice, 0.5, by, 7)
        assert more.sum() == 12 and (more >= chosen).all()
        assert any((held_out(twice, 0.25, by, seed) != chosen).any() for seed in range(3))
        ids = {row["query_id"] for row, held in zip(rows, chosen, strict=True) if held}
        assert (len(ids) == count) == (by == "query")


def test_an_example_with_several_negatives_is_held_out_whole(twice, table):
    """Two examples of one query that differ in their second negatives alone are two; with one negative they are the
    triples that they have always been."""
    rows = read_rows(twice, "triples").to_pylist()
    for by in ("query", "example"):
        several = [{**row, "negative_id": row["negative_id"] + end} for row in rows for end in ("", "!", "?")]
        chosen = held_out(table("several", "triples", numbered(several, 3)), 0.25, by, 7)
        assert chosen.shape == (24,) and chosen.sum() == 6
        if by == "query":
            np.testing.assert_array_equal(chosen, held_out(twice, 0.25, by, 7))
    names = ["\x1f".join(row[name] for name in ("query_id", "positive_id", "negative_id")) for row in rows]
    expected = set(keyed_sample(names, 6, 7, "held out"))
    assert held_out(twice, 0.25, "example", 7).tolist() == [name in expected for name in names]


@pytest.mark.parametrize(("share", "said"), [(0.04, "12 queries there it holds out none"), (0.99, "holds out 12")])
def test_a_share_that_leaves_nothing_is_refused_before_anything_is_read(twice, train, tmp_path, share, said):
    with pytest.raises(BackfireError, match=f"held_out.share is {share}, .*{said}") as caught:
        train("none", keep="best", held_out=QUARTER | {"share": share})
    assert "more triples" in caught.value.hint
    assert not (tmp_path / "none").exists()
