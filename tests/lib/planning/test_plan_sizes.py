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
from backfire.planning.facts import Expected, Facts
from backfire.planning.jobs import Jobs
from backfire.planning.sizes import (
    CANDIDATE_ROW,
    CHECKPOINT,
    CHECKPOINT_FILES,
    TRIPLE_ROW,
    checkpoint_bytes,
    corpus_bytes,
    index_bytes,
    run_bytes,
    stages,
    token_bytes,
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
    # Close enough that a number less in each row would show.
    assert (tmp_path / "e.parquet").stat().st_size == pytest.approx(ROWS * vector_bytes(FACTS, 48), rel=0.02)


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


def jobs(rule, count=1, **wildcards):
    return Jobs(rule, rule, wildcards, count, count)


def found(study, facts, listed):
    return {each.name: each for each in stages(Expected(study, {"pydocs": facts}), listed, 384, 90_000_000)}


def test_stages_add_up_over_their_jobs(study):
    """base, full_bm25 and lora_hard; two shards of one collection, one job for both."""
    models, place = ("base", "full_bm25", "lora_hard"), {"collection": "pydocs"}
    listed = [
        jobs("prepare_base"),
        *(jobs("train_variant", variant=name) for name in models[1:]),
        jobs("export_corpus", **place),
        jobs("tokenize_corpus", 2, text="default", max_length="128", **place),
        *(Jobs("encode_corpus", "encode_corpus", {"variant": name} | place, 1, 2) for name in models),
        *(Jobs("index_shard", "index_shard", {"variant": name} | place, 1, 2) for name in models),
        *(
            jobs("encode_queries", variant=name, split=split, **place)
            for name in models
            for split in ("test", "unseen")
        ),
        jobs("encode_queries", variant="base", split="train", **place),
        *(jobs(f"mine_{source}", study.parts, depth="200") for source in ("bm25", "hard")),
        *(jobs("merge_candidates", source=source, depth="200") for source in ("bm25", "hard")),
    ]
    sizes = found(study, FACTS, listed)
    assert study.shards_of("pydocs") == 2
    assert sizes["models"].bytes == 3 * 90_000_000
    # Three files for each training: weights and two moments, of all weights or of adapters of rank 8.
    assert sizes["models"].passing == round(3 * 3 * 90_000_000 * (1 + 2 * 8 / 384))
    assert sizes["indexes"].bytes == 3 * 8_841_823 * 4 * 384
    rows = 3 * (8_841_823 + 6980 + 50) + 500_000
    assert sizes["embeddings"].bytes == round(rows * vector_bytes(FACTS, 384))
    assert sizes["tokens"].bytes == round(8_841_823 * token_bytes(FACTS, 128))
    assert sizes["tables"].bytes == pytest.approx(corpus_bytes(FACTS), rel=0.02)
    assert sizes["negatives"].bytes == pytest.approx(2 * 500_000 * 200 * 14, rel=0.01)
    assert sizes["negatives"].passing == pytest.approx(study.parts * sizes["negatives"].bytes, rel=0.01)
    assert sizes["protocol"].peak == 0
    assert Expected(study, {"pydocs": FACTS}).course("full_bm25").steps == 19


def test_what_is_tried_of_the_protocol_leaves_its_runs(study):
    place = {"variant": "base", "collection": "pydocs", "choice": "length"}
    listed = [
        jobs("encode_corpus", 2, **place),
        jobs("encode_queries", split="test", **place),
        jobs("index_shard", 2, **place),
        jobs("rank", split="test", **place),
    ]
    listed.append(Jobs("rank_without_own_ids", "rank", {"collection": "pydocs", "split": "test"}, 1, 1))
    sizes = found(study, FACTS, listed)
    assert sizes["protocol"].bytes == pytest.approx(2 * run_bytes(study, FACTS, 6980, len("base-seed-0")))
    row = vector_bytes(FACTS, 384)
    assert sizes["protocol"].passing == pytest.approx(8_841_823 * (row + 4 * 384) + 6980 * row)
    assert sizes["embeddings"].peak == sizes["rankings"].peak == 0


def test_an_example_with_several_negatives_has_as_many_rows(study_of):
    def triples(**block):
        study = study_of({"triples": {name: {"size": 600_000} | block for name in ("bm25", "hard")}})
        return found(study, FACTS, [jobs("sample_triples", triples="hard")])["triples"].bytes

    assert triples(negatives_per_query=5) == pytest.approx(5 * triples(), rel=0.01)


def test_what_is_held_out_is_not_trained_on_and_looked_at_as_often_as_it_is(study_of):
    """600 examples, of which 480 are left: 15 steps an epoch, 38 in all; the start, ten by ten, two epochs, the end."""
    held_out = {"share": 0.2, "interval": 10}
    settings = {"batch_size": 32, "epochs": 2.5, "keep": "best", "held_out": held_out}
    triples = {name: {"size": 600} for name in ("bm25", "hard")}
    study = study_of({"triples": triples, "variants": {"full_bm25": settings, "lora_hard": settings}})
    facts = {"pydocs": FACTS}
    going = Expected(study, facts).course("full_bm25")
    assert (going.held_out, going.steps) == (120, 38)
    assert going.looks == len({0, 10, 15, 20, 30, 38})
    only_last = {"variants": {"full_bm25": settings | {"held_out": None, "keep": "last"}}}
    assert Expected(study_of({"triples": triples}, only_last), facts).course("full_bm25").looks == 0
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
    place = {"variant": "base", "collection": "pydocs"}
    listed = [
        *(jobs(rule, **place) for rule in ("export_corpus", "encode_corpus", "index_shard")),
        *(jobs(rule, split="test", **place) for rule in ("encode_queries", "rank")),
        jobs("tokenize_corpus", collection="pydocs", max_length="128"),
        jobs("merge_candidates", depth="200"),
    ]
    sizes = {name: each.peak for name, each in found(study, nothing, listed).items()}
    assert [sizes[name] for name in ("tables", "tokens", "embeddings", "indexes", "negatives", "rankings")] == [0] * 6
