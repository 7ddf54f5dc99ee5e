"""Negatives dropped by score: those that sentence-transformers drops, on the real model; and counts of them."""

import numpy as np
import pytest

from backfire.errors import BackfireError
from backfire.formats.atomic import read_json
from backfire.formats.tables import read_rows
from backfire.negatives.filters import NAMES
from backfire.negatives.hard import mine_hard
from backfire.negatives.triples import sample_triples
from backfire.retrieval.merging import merge_candidates

DEPTH = 20


@pytest.fixture
def collection(pydocs, vectors, shards, queries, table, tmp_path):
    """Files to sample from; a query's positives are two of the passages that base ranks first."""
    files = shards(2)
    scores, relevant = vectors[1] @ vectors[0].T, {}
    for row, (query, _) in enumerate(pydocs[1]):
        ranked = [pydocs[0][place][0] for place in np.argsort(-scores[row])]
        ranked = [doc_id for doc_id in ranked if not doc_id.endswith(".again")]
        relevant[query] = [ranked[row % 3], ranked[4 + row % 7]]
    rows = [{"query_id": query, "doc_id": doc, "relevance": 1} for query, docs in relevant.items() for doc in docs]
    candidates = str(tmp_path / "candidates")
    mine_hard(queries["embeddings"], files["embeddings"], files["indexes"], DEPTH, f"{candidates}.part")
    merge_candidates([f"{candidates}.part"], queries["queries"], DEPTH, candidates)
    names = {"corpus": files["corpus"], "embeddings": files["embeddings"], "qrels": table("judged", "qrels", rows)}
    names |= {"queries": queries["queries"], "query_embeddings": queries["embeddings"]}
    return names, candidates, relevant


@pytest.fixture
def sample(collection, tmp_path):
    """A function that samples by a filter, and gives the rows and the manifest; as many as there are without a size."""

    def run(settings, source="hard", size="all", **options):
        names, candidates, _ = collection
        output = {"output": str(tmp_path / "triples"), "manifest": str(tmp_path / "triples.json")}
        names = names | {"source": source, "candidates": candidates if source == "hard" else None, "seed": 0} | output
        if size == "all":
            with pytest.raises(BackfireError, match="give only") as caught:
                sample_triples(**names, size=10**6, filter=settings, **options)
            size = int(str(caught.value).split("give only ")[1].split()[0])
        sample_triples(**names, size=size, filter=settings, **options)
        return read_rows(output["output"], "triples").to_pylist(), read_json(output["manifest"])

    return run


SETTINGS = [
    {"absolute_margin": 0.05},
    {"relative_margin": 0.05},
    {"relative_margin": 0.1, "absolute_margin": 0.03},
    {"max_score": 0.4},
    {"min_score": 0.3},
    {"absolute_margin": 0.0, "relative_margin": 0.1, "max_score": 0.5, "min_score": 0.1},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_what_stays_is_what_the_library_keeps(settings, sample, collection, pydocs, base_model):
    """Its own mining of the same texts, as sets of texts, since it takes each text once."""
    from datasets import Dataset
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.util import mine_hard_negatives

    _, _, relevant = collection
    texts, asked = dict(pydocs[0]), dict(pydocs[1])
    pairs = [(asked[query], texts[doc]) for query, docs in relevant.items() for doc in docs]
    model = SentenceTransformer(str(base_model), device="cpu")
    model.max_seq_length = 32
    # As deep as there are passages, so that a list that is cut elsewhere makes no difference.
    found = mine_hard_negatives(
        Dataset.from_dict(dict(zip(("query", "positive"), map(list, zip(*pairs, strict=True)), strict=True))),
        model,
        corpus=list(dict.fromkeys(texts.values())),
        range_max=200,
        num_negatives=200,
        output_format="triplet",
        verbose=False,
        **settings,
    )
    kept = {(row["query"], row["negative"]) for row in found}
    rows, _ = sample(settings)
    candidates = read_rows(collection[1], "candidates").to_pylist()
    answers = {(asked[query], texts[doc]) for query, docs in relevant.items() for doc in docs}
    listed = {(asked[row["query_id"]], texts[row["doc_id"]]) for row in candidates} - answers
    ours = {(asked[row["query_id"]], texts[row["negative_id"]]) for row in rows}
    assert ours == kept & listed
    assert 0 < len(ours) < len(listed)


@pytest.mark.parametrize("source", ["hard", "random"])
@pytest.mark.parametrize("settings", SETTINGS[2:], ids=str)
def test_every_negative_meets_the_filter_and_what_does_not_is_counted(
    source, settings, sample, collection, pydocs, vectors
):
    rows, manifest = sample(settings, source, size=None if source == "random" else "all", negatives_per_query=2)
    relevant = collection[2]
    vector = {
        name: row for side, some in zip(pydocs, vectors, strict=True) for (name, _), row in zip(side, some, strict=True)
    }

    def why(query, doc):
        lowest = min(vector[query] @ vector[positive] for positive in relevant[query])
        limits = {
            "absolute_margin": lambda score, value: score <= lowest - value,
            "relative_margin": lambda score, value: score <= lowest - abs(lowest) * value,
            "max_score": lambda score, value: score <= value,
            "min_score": lambda score, value: score >= value,
        }
        score = vector[query] @ vector[doc]
        return next((name for name in NAMES if name in settings and not limits[name](score, settings[name])), None)

    assert rows and not any(why(row["query_id"], row["negative_id"]) for row in rows)
    assert [row["example"] for row in rows] == list(np.arange(len(rows)) // 2)
    assert manifest["examples"] == len(rows) // 2 and manifest["queries"] == len(relevant)
    assert manifest["without an example"] == len(relevant) - len({row["query_id"] for row in rows})
    assert manifest["filter"] == settings and manifest["dropped"].keys() == settings.keys()
    if source == "hard":
        candidates = read_rows(collection[1], "candidates").to_pylist()
        looked = [
            (row["query_id"], row["doc_id"]) for row in candidates if row["doc_id"] not in relevant[row["query_id"]]
        ]
        assert manifest["looked at"] == len(looked)
        reasons = [why(*pair) for pair in looked]
        assert manifest["dropped"] == {name: reasons.count(name) for name in manifest["dropped"]}


def test_without_a_filter_nothing_is_dropped_and_one_that_leaves_nothing_says_what_it_dropped(
    sample, collection, caplog
):
    caplog.set_level("INFO")
    plain, manifest = sample(None, size=None)
    assert "dropped" not in manifest and manifest["examples"] == len(plain)
    loose, manifest = sample({"max_score": 1.5}, size=None)
    assert loose == plain and manifest["dropped"] == {"max_score": 0}
    assert "the filter dropped {'max_score': 0}" in caplog.text
    with pytest.raises(
        BackfireError, match="give only 0 .*\nHint: loosen filter, which dropped [1-9][0-9]* by min_score"
    ):
        sample({"min_score": 1.5}, size=None)


@pytest.mark.parametrize("each", [1, 3])
def test_a_share_of_labels_is_wrong_on_purpose_and_a_larger_one_holds_the_smaller(sample, each):
    options = {"size": 30, "negatives_per_query": each}
    clean, manifest = sample({}, **options)
    assert "swapped" not in manifest
    by_query = {}
    for row in clean:
        by_query.setdefault(row["query_id"], []).append(row)
    before, first = set(), None
    for share in (0.1, 0.3, 0.6):
        rows, manifest = sample({}, **options, swapped=share)
        assert [row["query_id"] for row in rows] == [row["query_id"] for row in clean]
        wrong = {
            row["query_id"] for row, own in zip(rows, clean, strict=True) if row["positive_id"] != own["positive_id"]
        }
        assert manifest["swapped"] == len(wrong) == round(30 * share) and before < wrong
        for place, (row, own) in enumerate(zip(rows, clean, strict=True)):
            if row["query_id"] not in wrong:
                assert row == own
                continue
            first = by_query[row["query_id"]][0]
            assert row["positive_id"] == first["negative_id"]
            if place % each == 0:
                assert row["negative_id"] == first["positive_id"] and row["rank"] is None
                assert row["base_score"] > own["base_score"] or row["base_score"] != own["base_score"]
            else:
                assert (row["negative_id"], row["rank"]) == (own["negative_id"], own["rank"])
        before = wrong
    all_wrong, manifest = sample({}, **options, swapped=1.0)
    assert manifest["swapped"] == 30
