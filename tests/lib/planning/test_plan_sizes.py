"""Bytes of rows against files that are really written."""

import random

import numpy as np
import pytest
from safetensors.torch import load_file

from backfire.encoders.adapters import attach
from backfire.encoders.bert import load_bert
from backfire.formats.embeddings import write_embeddings
from backfire.formats.index import write_index
from backfire.formats.tables import write_batches, write_rows
from backfire.formats.trec import write_run
from backfire.planning.facts import Facts
from backfire.planning.sizes import (
    CANDIDATE_ROW,
    CHECKPOINT,
    CHECKPOINT_FILES,
    TRIPLE_ROW,
    checkpoint_bytes,
    corpus_bytes,
    course,
    index_bytes,
    run_bytes,
    stages,
    token_bytes,
    training_steps,
    vector_bytes,
)
from backfire.retrieval.index import build_index
from backfire.study.study import Study
from backfire.training.checkpoints import KEPT, PACE, Checkpoints, State

# As of MS MARCO: seven digits.
FACTS = Facts(8_841_823, 340.0, 7.0, {"dev": 200, "test": 6980, "unseen": 50, "train": 500_000}, {})
ROWS = 20_000


@pytest.fixture(scope="module")
def study(study_of):
    triples = {name: {"size": 600, "depth": 200} for name in ("bm25", "hard")}
    return study_of({"variants": {"full_hard": None, "lora_bm25": None}, "triples": triples})


@pytest.fixture(scope="module")
def ids():
    draw = random.Random(0)
    return [str(draw.randrange(1_000_000, 8_841_823)) for _ in range(ROWS)]


@pytest.fixture(scope="module")
def vectors():
    return np.random.default_rng(0).standard_normal((ROWS, 48), dtype=np.float32)


def test_rows_of_embeddings(tmp_path, ids, vectors):
    write_embeddings(tmp_path / "e.parquet", "doc_id", ids, vectors)
    assert (tmp_path / "e.parquet").stat().st_size == pytest.approx(ROWS * vector_bytes(FACTS, 48), rel=0.05)


@pytest.mark.parametrize("factory", ["Flat", "HNSW16"])
def test_rows_of_indexes(tmp_path, vectors, factory):
    write_index(tmp_path / "i.faiss", build_index(vectors[:5000], factory))
    expected = 5000 * index_bytes(48, factory)
    assert (tmp_path / "i.faiss").stat().st_size == pytest.approx(expected, rel=0.15)


def test_rows_of_candidates_and_triples(tmp_path, ids):
    draw = random.Random(1)
    rows = [
        {"query_id": str(1_000_000 + row // 200), "doc_id": ids[row], "rank": row % 200 + 1, "score": draw.random()}
        for row in range(ROWS)
    ]
    write_batches(tmp_path / "c.parquet", "candidates", [rows])
    assert (tmp_path / "c.parquet").stat().st_size == pytest.approx(ROWS * (CANDIDATE_ROW + 7), rel=0.2)
    triples = [
        {
            "example": row,
            "query_id": ids[-row],
            "positive_id": ids[row // 2],
            "negative_id": ids[row],
            "source": "hard",
            "rank": draw.randrange(1, 201),
            "base_score": draw.random(),
        }
        for row in range(ROWS)
    ]
    write_rows(tmp_path / "t.parquet", "triples", triples)
    assert (tmp_path / "t.parquet").stat().st_size == pytest.approx(ROWS * (TRIPLE_ROW + 21), rel=0.2)


def test_lines_of_runs(tmp_path, ids, study):
    tag, depth = "full_bm25-seed-0", study.config["ranking"]["depth"]
    rankings = [
        (str(1_000_000 + query), [(ids[place], 0.9 - place / 7001) for place in range(depth)]) for query in range(4)
    ]
    write_run(tmp_path / "r.trec", rankings, tag)
    assert (tmp_path / "r.trec").stat().st_size == pytest.approx(run_bytes(study, FACTS, 4, len(tag)), rel=0.1)


def test_stages_add_up_over_models_and_collections(study):
    sizes = {stage.name: stage for stage in stages(study, {"pydocs": FACTS}, 384, 90_000_000)}
    # base, full_bm25 and lora_hard; 6,980 and 50 queries are evaluated, those of the watched split are not.
    assert sizes["models"].bytes == 3 * 90_000_000
    # Three files for each training: weights and two moments, of all weights or of adapters of rank 8.
    assert sizes["models"].passing == round(3 * 3 * 90_000_000 * (1 + 2 * 8 / 384))
    assert sizes["indexes"].bytes == 3 * 8_841_823 * 4 * 384
    rows = 3 * (8_841_823 + 6980 + 50) + 500_000
    assert sizes["embeddings"].bytes == round(rows * vector_bytes(FACTS, 384))
    assert sizes["tokens"].bytes == round(8_841_823 * token_bytes(FACTS, study.config["encoding"]["max_length"]))
    assert sizes["tables"].bytes == pytest.approx(corpus_bytes(FACTS), rel=0.02)
    assert sizes["negatives"].bytes == pytest.approx(2 * 500_000 * 200 * 14, rel=0.01)
    assert sizes["negatives"].passing == pytest.approx(study.parts * sizes["negatives"].bytes, rel=0.01)
    assert sizes["protocol"].peak == 0
    assert training_steps(study, {"pydocs": FACTS}, "full_bm25") == 19


def test_an_example_with_several_negatives_has_as_many_rows(study_of):
    def found(**block):
        triples = {name: {"size": 600_000} | block for name in ("bm25", "hard")}
        sizes = stages(study_of({"triples": triples}), {"pydocs": FACTS}, 384, 0)
        return next(stage.bytes for stage in sizes if stage.name == "triples")

    assert found(negatives_per_query=5) == pytest.approx(5 * found(), rel=0.01)


def test_what_is_held_out_is_not_trained_on_and_looked_at_as_often_as_it_is(study_of):
    """600 examples, of which 480 are left: 15 steps an epoch, 38 in all; the start, ten by ten, two epochs, the end."""
    held_out = {"share": 0.2, "interval": 10}
    settings = {"batch_size": 32, "epochs": 2.5, "keep": "best", "held_out": held_out}
    triples = {name: {"size": 600} for name in ("bm25", "hard")}
    study = study_of({"triples": triples, "variants": {"full_bm25": settings, "lora_hard": settings}})
    facts = {"pydocs": FACTS}
    found = course(study, facts, "full_bm25")
    assert (found.held_out, found.steps) == (120, 38)
    assert found.looks == len({0, 10, 15, 20, 30, 38})
    only_last = {"variants": {"full_bm25": settings | {"held_out": None, "keep": "last"}}}
    assert course(study_of({"triples": triples}, only_last), facts, "full_bm25").looks == 0
    # Kept weights are once more in each checkpoint.
    kept, plain = (
        checkpoint_bytes(only(study_of({"variants": {"full_bm25": more}}), "full_bm25"), 384, 90_000_000)
        for more in ({"keep": "best", "held_out": held_out}, {})
    )
    assert kept / plain == pytest.approx(4 / 3)


def test_a_training_keeps_the_checkpoints_that_are_planned(study, base_model, tmp_path):
    weights = load_file(base_model / "model.safetensors")
    whole = sum(each.nbytes for each in weights.values())
    state = State({f"{part}.{name}": each.clone() for part in "abc" for name, each in weights.items()}, {})
    assert CHECKPOINT == 3
    checkpoints = Checkpoints(tmp_path, PACE)
    for step in range(1, 4):
        checkpoints.write(step, state)
    # And one more while it is written.
    assert len(list(tmp_path.iterdir())) == KEPT == CHECKPOINT_FILES - 1
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) == pytest.approx(KEPT * CHECKPOINT * whole, rel=0.01)

    model = load_bert(base_model)
    attach(model, {"rank": 8, "alpha": 16, "dropout": 0.0, "target_modules": ["query", "key", "value", "dense"]}, 0)
    adapters = sum(each.nbytes for each in model.parameters() if each.requires_grad)
    full, lora = (
        checkpoint_bytes(only(study, name), 384, whole) / (CHECKPOINT * CHECKPOINT_FILES)
        for name in ("full_bm25", "lora_hard")
    )
    assert full == whole
    assert adapters <= lora < 0.05 * whole


def only(study, name):
    """A study that trains that variant alone."""
    config = study.config | {"variants": {each: study.config["variants"][each] for each in ("base", name)}}
    return Study(config)


def test_a_collection_of_unknown_size_counts_nothing(study):
    nothing = Facts(None, 500.0, 8.0, dict.fromkeys(FACTS.queries), {})
    sizes = {stage.name: stage.peak for stage in stages(study, {"pydocs": nothing}, 384, 1)}
    assert [sizes[name] for name in ("tables", "tokens", "embeddings", "indexes", "negatives", "rankings")] == [0] * 6
