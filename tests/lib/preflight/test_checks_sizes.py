"""What a study asks for beyond its corpus, against what FAISS and the stages refuse."""

import json
from contextlib import nullcontext

import faiss
import numpy as np
import pytest

from backfire.errors import BackfireError
from backfire.explaining import projection
from backfire.preflight import sizes
from backfire.preflight.before import check_study
from backfire.preflight.sizes import cells, check_factory, check_sizes, most_passages

SAMPLED = ["sample_triples"]
TRAINED = [
    "IVF16,Flat",
    "IVF1k,Flat",
    "PQ4",
    "PQ8x4",
    "PQ8x5",
    "OPQ8,PQ8x4",
    "OPQ8,Flat",
    "IVF20,PQ8x6",
    "PQ4x4fs",
    "RQ4x6",
]
TRAINED += ["IVF32_HNSW32,Flat", "IVF8,SQ8", "IVF300(PQ4),Flat"]
UNTRAINED = ["Flat", "HNSW32", "SQ8", "PCA16,Flat"]


@pytest.mark.parametrize("factory", TRAINED + UNTRAINED)
def test_cells_are_the_fewest_vectors_that_faiss_trains_on(factory):
    def trained_on(rows):
        index = faiss.index_factory(32, factory, faiss.METRIC_INNER_PRODUCT)
        index.train(np.random.default_rng(0).standard_normal((rows, 32), dtype=np.float32))

    needed = cells(f"{factory};nprobe=2")
    assert (needed == 1) == (factory in UNTRAINED)
    if needed > 1:
        trained_on(needed)
        with pytest.raises(RuntimeError, match="training points"):
            trained_on(needed - 1)


def test_too_many_cells_and_shards_are_refused_by_key(study_of):
    def on(**encoding):
        return check_sizes(study_of({"collections": {"pydocs": {"size": 2000}}, "encoding": {"shards": 4} | encoding}))

    # 500 passages a shard.
    on(index="IVF500,Flat")
    with pytest.raises(BackfireError, match="encoding.index: 'IVF501,Flat' has 501 cells .* holds 500 passage"):
        on(index="IVF501,Flat")
    with pytest.raises(BackfireError, match="encoding.shards: 2001 shards, but 'pydocs' has 2000 passage"):
        on(shards=2001)


def test_a_corpus_is_as_large_as_is_published_counted_or_set(study_of, tmp_path):
    def most(**block):
        collection = {"corpus": "vaswani", "train": None, "splits": {"dev": "x", "test": "y"}} | block
        return most_passages(study_of({"collections": {"other": collection}}), "other")

    (tmp_path / "corpus.jsonl").write_text("".join(json.dumps({"_id": str(n)}) + "\n\n" for n in range(7)))
    assert (most(), most(size=100), most(size=10**6)) == (11429, 100, 11429)
    assert (most(corpus=str(tmp_path)), most(corpus=str(tmp_path), size=3)) == (7, 3)
    assert (most(corpus="pydocs"), most(corpus="pydocs", size=9), most(corpus="no/such/id")) == (None, 9, None)


def test_a_depth_beyond_the_corpus_is_told_by_its_key(study_of):
    other = {"other": {"corpus": "vaswani", "splits": {"test": "vaswani"}, "size": 600}}
    small = {"ranking": {"depth": 2000}, "triples": {"bm25": {"depth": 2500}, "hard": {"depth": 2000}}}
    size = {"collections": {"pydocs": {"size": 2000}} | other}
    assert check_sizes(study_of(size, small)) == [
        "triples.bm25.depth: 2500 passages a query are asked for and 'pydocs' has 2000, so all are ranked.",
        "ranking.depth: 2000 passages a query are asked for and 'other' has 600, so all are ranked.",
    ]
    assert check_study(study_of(size, small)) == check_sizes(study_of(size, small))


def test_triples_beyond_what_the_queries_can_give_are_refused_by_key(study_of, tmp_path):
    def check(name="bm25", **block):
        small = {"collections": {"pydocs": {"size": 50}}, "encoding": {"shards": 1}}
        check_sizes(
            study_of(small, {"triples": {"bm25": {"size": None}, "hard": {"size": None}, name: block}}), SAMPLED
        )

    # 50 passages, each with one query: 49 other passages for each, or as many as candidates are listed.
    check(size=50 * 49)
    check(size=50 * 7, depth=7)
    with pytest.raises(BackfireError, match="triples.bm25.size: 2451 triples .* at most 50 tr.* at most 2450 with"):
        check(size=50 * 49 + 1)
    with pytest.raises(BackfireError, match="at most 350 with negatives from bm25 to a depth of 7") as caught:
        check(size=351, depth=7)
    assert "set it to 350 or less, or to null" in caught.value.hint
    # No variant is trained on this set.
    check("another", negatives="random", size=10**6)

    (tmp_path / "qrels").mkdir()
    for name in ("train", "dev", "test"):
        (tmp_path / f"qrels/{name}.tsv").write_text("q1\td1\t1\nq2\td1\t1\n\n")
    (tmp_path / "corpus.jsonl").write_text("".join(json.dumps({"_id": f"d{n}"}) + "\n" for n in range(20)))
    folder = {"corpus": str(tmp_path), "train": "train", "splits": {"dev": "dev", "test": "test", "unseen": None}}
    one = {"collections": {"pydocs": folder}, "encoding": {"shards": 1}, "triples": {"hard": {"size": None}}}
    check_sizes(study_of(one, {"triples": {"bm25": {"size": 38}}}), SAMPLED)
    with pytest.raises(BackfireError, match="at most 2 training queries of 'pydocs' give at most 38"):
        check_sizes(study_of(one, {"triples": {"bm25": {"size": 39}}}), SAMPLED)
    # 19 negatives of each of two queries: nine examples of two, with one left over.
    for size, said in (
        (18, None),
        (19, "size: 19 examples of 2 negatives are .* give at most 18 .*\nHint: .* one example of"),
    ):
        wanted = study_of(one, {"triples": {"bm25": {"size": size, "negatives_per_query": 2}}})
        with pytest.raises(BackfireError, match=said) if said else nullcontext():
            check_sizes(wanted, SAMPLED)
    # For a run of base no triple is needed.
    check_sizes(study_of(one, {"triples": {"bm25": {"size": 39}}}), ["rank"])
    # Packed judgments are not read for a check.
    for name in ("train", "dev", "test"):
        (tmp_path / f"qrels/{name}.tsv").rename(tmp_path / f"qrels/{name}.tsv.gz")
    check_sizes(study_of(one, {"triples": {"bm25": {"size": 39}}}), SAMPLED)


def test_published_triples_beyond_those_there_are(study_of):
    name = next(iter(study_of("studies/msmarco.yaml").published))

    def check(size):
        check_sizes(study_of("studies/msmarco.yaml", {"triples": {name: {"size": size}}}), ["sample_published"])

    check(39_780_811)
    with pytest.raises(BackfireError, match=f"triples.{name}.size: 39780812 .* has 39780811.*\nHint: .* all of them"):
        check(39_780_812)


def test_a_corpus_too_small_for_a_map_or_a_space(study_of):
    assert sizes.FEWEST_ON_A_MAP == projection.FEWEST_PASSAGES
    study = study_of({"collections": {"pydocs": {"size": 9}}, "encoding": {"shards": 1}})
    check_sizes(study, ["measure_geometry", "rank"])
    with pytest.raises(BackfireError, match="collections.pydocs: 9 passage.*project_embeddings needs at least 10"):
        check_sizes(study, ["project_embeddings"])


@pytest.mark.parametrize("factory", ["Flat", "HNSW32", "IVF64,Flat;nprobe=8", "PQ8", "OPQ8_16,IVF4,PQ8"])
def test_indexes_that_faiss_makes(factory):
    check_factory(factory, 32)


@pytest.mark.parametrize(
    ("factory", "reason"),
    [
        ("Flatt", "could not parse"),
        ("PQ7", "multiple of"),
        ("LSH", "METRIC_L2"),
        ("IVF4,Flat;nprob=3", "could not set"),
    ],
)
def test_indexes_that_it_does_not(study_of, factory, reason):
    with pytest.raises(BackfireError, match=f"encoding.index: FAISS makes no index .*{reason}"):
        check_factory(factory, 32)
    study = study_of({"encoding": {"index": factory}})
    if factory != "PQ7":  # 384 dimensions are no multiple of 7 either.
        check_study(study)
    with pytest.raises(BackfireError, match="encoding.index"):
        check_study(study, thoroughly=True)


@pytest.mark.parametrize("name", ["hf:owner/model", "owner/model/", "a model", "~nobody-here/x", "./nowhere", "a/b/c"])
def test_a_base_that_is_nowhere(study_of, name):
    with pytest.raises(BackfireError, match="base_model"):
        check_study(study_of({"base_model": name}))


@pytest.mark.parametrize("where", ["measures", "dynamics", "selections", "margins"])
def test_measures_are_looked_at_wherever_they_are_named(study_of, where):
    named = {
        "measures": {"measures": ["RR@10", "MRR@10"]},
        "dynamics": {"dynamics": {"measures": ["MRR@10"]}},
        "selections": {"selections": {"a": {"among": ["full_bm25", "full_hard"], "measure": "MRR@10"}}},
        "margins": {"comparison": {"margins": {"MRR@10": 0.1}}},
    }
    with pytest.raises(BackfireError, match="write RR@10"):
        check_study(study_of(named[where]))


def test_an_index_for_distances_has_one_number_more():
    check_factory("PQ48x4", 384)
    with pytest.raises(
        BackfireError, match=r"'PQ48x4' of vectors of 384 dimensions and one more, for Euclidean"
    ) as told:
        check_factory("PQ48x4", 384, distances=True)
    assert "Flat" in told.value.hint
    check_factory("PQ77x4", 384, distances=True)


def test_how_many_variants_a_ladder_trains_is_told(study_of):
    factors = {"loss": ["loss"], "rate": ["learning_rate"], "length": ["max_length"]}
    far = {"like": "paper_hard", "learning_rate": 4.0e-5, "max_length": 64}
    ladder = {"from": "full_hard", "to": "far", "factors": factors}
    lines = check_study(study_of({"variants": {"far": far}, "ladder": ladder, "seeds": [0, 1]}))
    # paper_hard is one of them, and is there.
    assert lines[0] == (
        "The ladder trains 5 variants between full_hard and far, 2 seeds each, and takes the mean over 6 orders of its "
        "3 factors."
    )
