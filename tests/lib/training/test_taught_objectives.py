"""Objectives that follow a teacher: against sentence-transformers' classes, and in a training."""

import numpy as np
import pytest
import torch
from sentence_transformers.sentence_transformer.losses import DistillKLDivLoss, MarginMSELoss
from test_objectives import a_batch, assert_equal
from torch.nn.functional import normalize

from backfire.formats.tables import read_rows, write_rows
from backfire.training.objectives import distill_kl_div, margin_mse
from backfire.training.objectives.batch import Batch

BUILD = {"margin_mse": margin_mse.build, "distill_kl_div": distill_kl_div.build}
KINDS = {"margin_mse": (MarginMSELoss, {}), "distill_kl_div": (DistillKLDivLoss, {"temperature": 2.0})}


def taught(examples=6, negatives=2):
    batch = a_batch(examples, negatives)
    scores = 4 * torch.randn(batch.passages.shape, generator=torch.Generator().manual_seed(1))
    return Batch(batch.vectors, batch.queries, batch.passages, batch.known, teacher=scores)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("negatives", [1, 3])
def test_on_raw_vectors_it_is_the_librarys_loss(name, negatives):
    kind, arguments = KINDS[name]

    def theirs(batch):
        columns = [batch.query, *(batch.vectors[column] for column in batch.passages.T)]
        return kind(None, **arguments).compute_loss_from_embeddings(columns, batch.teacher)

    settings = {"scale": 1.0, "normalize": False} | arguments
    assert assert_equal(BUILD[name], settings, theirs, taught(negatives=negatives)).active is None


@pytest.mark.parametrize("name", KINDS)
def test_a_scale_stretches_cosines(name):
    kind, arguments = KINDS[name]

    def theirs(batch):
        vectors = normalize(batch.vectors)
        # The square root of the scale on either side.
        columns = [(20**0.5) * vectors[each] for each in (batch.queries, *batch.passages.T)]
        return kind(None, **arguments).compute_loss_from_embeddings(columns, batch.teacher)

    assert_equal(BUILD[name], {"scale": 20.0, "normalize": True} | arguments, theirs, taught())


@pytest.mark.parametrize("name", KINDS)
def test_a_training_follows_the_scores_that_it_is_given(train, files, tmp_path, name, real_model):
    """Of a teacher that finds every negative better than the positive, the student learns to find it better too."""
    rows = read_rows(files["triples"], "triples").to_pylist()
    pairs = {(row["query_id"], row[column]): value for row in rows for column, value in COLUMNS.items()}
    scores = [{"query_id": query, "doc_id": doc, "teacher_score": value} for (query, doc), value in pairs.items()]
    write_rows(tmp_path / "teacher", "teacher", scores)
    files["teacher"] = str(tmp_path / "teacher")
    loss = {"name": name, "scale": 20.0, "normalize": True} | KINDS[name][1]
    settings = {"loss": loss, "learning_rate": 2e-4, "epochs": 8, "precision": "fp32"}
    _, dynamics, _ = train(
        "student", real_model, held_out={"share": 0.25, "by": "query", "interval": None, "measure": "loss"}, **settings
    )
    losses = [row["loss"] for row in dynamics if row["loss"] is not None]
    assert losses[-1] < 0.5 * losses[0]
    held = [row["held_out_loss"] for row in dynamics if row["held_out_loss"] is not None]
    assert held[-1] < held[0] and np.isfinite(held).all()
    write_rows(tmp_path / "teacher", "teacher", [row | {"teacher_score": -row["teacher_score"]} for row in scores])
    _, others, _ = train("student", real_model, held_out=None, **settings)
    assert [row["loss"] for row in others] != [row["loss"] for row in dynamics]


COLUMNS = {"positive_id": -3.0, "negative_id": 3.0}
