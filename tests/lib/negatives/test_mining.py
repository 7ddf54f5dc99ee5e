"""Mining in parts: the same candidates as from the whole corpus at once, to the byte, by BM25 and by embeddings."""

from pathlib import Path

import bm25s
import numpy as np
import pyarrow as pa
import pytest
from bm25s.tokenization import Tokenizer

from backfire.errors import BackfireError
from backfire.formats.atomic import read_json
from backfire.formats.tables import read_rows, write_rows
from backfire.formats.trec import read_run
from backfire.negatives import hard
from backfire.negatives.hard import mine_hard
from backfire.retrieval import lexical as bm25
from backfire.retrieval import merging
from backfire.retrieval.lexical import count_terms, mine_bm25, rank_bm25
from backfire.retrieval.merging import merge_candidates
from backfire.retrieval.search import pair_scores


def halves(files, parts):
    """The files in so many runs."""
    return [list(some) for some in np.array_split(files, parts)]


def mined(source, files, queries, depth, parts, tmp_path):
    """Path of the merged candidates, from `parts` searches."""
    found = [str(tmp_path / f"{source}-{part}-of-{parts}.parquet") for part in range(parts)]
    if source == "bm25":
        count_terms(files["corpus"], str(tmp_path / "terms.parquet"))
        for part, path in zip(halves(files["corpus"], parts), found, strict=True):
            mine_bm25(str(tmp_path / "terms.parquet"), part, queries["queries"], depth, path)
    else:
        pairs = zip(halves(files["embeddings"], parts), halves(files["indexes"], parts), strict=True)
        for (embeddings, indexes), path in zip(pairs, found, strict=True):
            mine_hard(queries["embeddings"], embeddings, indexes, depth, path)
    output = tmp_path / f"{source}-merged-{parts}-{len(files['corpus'])}.parquet"
    merge_candidates(found, queries["queries"], depth, str(output))
    return output


def rankings(path):
    """{query id: [(doc id, score)]} of a candidate table, whose ranks and grouping are checked."""
    found = {}
    for row in read_rows(path, "candidates").to_pylist():
        assert row["query_id"] == next(reversed(found), None) or row["query_id"] not in found
        ranking = found.setdefault(row["query_id"], [])
        ranking.append((row["doc_id"], row["score"]))
        assert row["rank"] == len(ranking)
    return found


@pytest.mark.parametrize("source", ["bm25", "hard"])
def test_parts_shards_and_blocks_change_no_byte(source, shards, queries, tmp_path, monkeypatch):
    # Several row groups.
    monkeypatch.setattr(merging, "WRITTEN", 9 * 60)
    expected = mined(source, shards(1), queries, 60, 1, tmp_path).read_bytes()
    for count, parts in ((2, 2), (3, 3), (5, 2)):
        assert mined(source, shards(count), queries, 60, parts, tmp_path).read_bytes() == expected
    monkeypatch.setattr(bm25, "HELD", 7 * 60)
    monkeypatch.setattr(hard, "HELD", 7 * 60)
    monkeypatch.setattr(bm25, "WRITTEN", 100)
    monkeypatch.setattr(bm25, "TOKENIZED", 50)
    monkeypatch.setattr(hard, "WRITTEN", 100)
    assert mined(source, shards(3), queries, 60, 2, tmp_path).read_bytes() == expected


@pytest.mark.parametrize("source", ["bm25", "hard"])
def test_passages_with_the_same_text_follow_their_ids(source, shards, queries, tmp_path):
    found = rankings(mined(source, shards(3), queries, 60, 2, tmp_path))
    ties = 0
    for ranking in found.values():
        assert ranking == sorted(ranking, key=lambda hit: (-hit[1], hit[0]))
        ties += sum(f"{a}.again" == b and x == y for (a, x), (b, y) in zip(ranking, ranking[1:], strict=False))
    assert ties > 20


def by_one_index(pydocs, depth, k1, b):
    """{query id: [(doc id, score)]} by an index of bm25s over the whole corpus."""
    tokenizer = Tokenizer(stopwords="en")
    words = tokenizer.tokenize([text for _, text in pydocs[0]], update_vocab=True, allow_empty=False)
    index = bm25s.BM25(method="lucene", k1=k1, b=b)
    index.index((words, tokenizer.get_vocab_dict()), show_progress=False)
    found = {}
    for query_id, text in pydocs[1]:
        (query,) = tokenizer.tokenize([text], update_vocab=False, allow_empty=False)
        scores = index.get_scores_from_ids(query)
        ids = [doc_id for doc_id, _ in pydocs[0]]
        ranking = sorted(zip(ids, scores.tolist(), strict=True), key=lambda hit: (-hit[1], hit[0]))[:depth]
        found[query_id] = [(doc_id, score) for doc_id, score in ranking if score > 0]
    return found


def assert_alike(found, expected):
    for query_id, ranking in expected.items():
        assert [doc_id for doc_id, _ in found.get(query_id, [])] == [doc_id for doc_id, _ in ranking]
        scores = [score for _, score in found.get(query_id, [])]
        np.testing.assert_allclose(scores, [score for _, score in ranking], rtol=0, atol=1e-5)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_bm25_is_that_of_one_index_over_the_whole_corpus(count, pydocs, shards, queries, tmp_path):
    assert_alike(
        rankings(mined("bm25", shards(count), queries, 50, count, tmp_path)), by_one_index(pydocs, 50, 0.9, 0.4)
    )


def test_bm25_as_a_system_is_that_of_one_index_with_its_own_settings(pydocs, shards, queries, tmp_path):
    for count in (1, 3):
        corpus = shards(count)["corpus"]
        count_terms(corpus, str(tmp_path / "terms.parquet"))
        run = tmp_path / f"{count}.trec"
        files = str(run), str(tmp_path / f"{count}.json")
        rank_bm25(str(tmp_path / "terms.parquet"), corpus, queries["queries"], 40, 1.2, 0.75, "bm25", *files)
        spent = read_json(files[1])
        assert spent["queries_searched"] == len(pydocs[1]) and spent["seconds_searching"] > 0
    assert (tmp_path / "1.trec").read_bytes() == (tmp_path / "3.trec").read_bytes()
    assert_alike(read_run(run), by_one_index(pydocs, 40, 1.2, 0.75))
    order = [query_id for query_id, _ in pydocs[1]]
    assert list(read_run(run)) == [query_id for query_id in order if query_id in read_run(run)]


def test_hard_candidates_are_those_of_brute_force(pydocs, vectors, shards, queries, tmp_path):
    found = rankings(mined("hard", shards(3), queries, 30, 2, tmp_path))
    ids = [doc_id for doc_id, _ in pydocs[0]]
    for (query_id, _), query in zip(pydocs[1], vectors[1], strict=True):
        scores = pair_scores(query, vectors[0], np.arange(len(vectors[0]))).tolist()
        assert found[query_id] == sorted(zip(ids, scores, strict=True), key=lambda hit: (-hit[1], hit[0]))[:30]


def test_word_counts_are_those_of_the_whole_corpus(pydocs, shards, tmp_path):
    counted = []
    for count in (1, 3):
        count_terms(shards(count)["corpus"], str(tmp_path / f"{count}.parquet"))
        counted.append((tmp_path / f"{count}.parquet").read_bytes())
    assert counted[0] == counted[1]
    rows = {row["word"]: row for row in read_rows(tmp_path / "1.parquet", "terms").to_pylist()}
    assert list(rows) == sorted(rows)
    split = Tokenizer(stopwords="en").splitter
    texts = [split(text.lower()) for _, text in pydocs[0]]
    assert rows["array"]["passages"] == sum("array" in words for words in texts) > 10
    assert rows["array"]["occurrences"] == sum(words.count("array") for words in texts)
    assert rows[""]["passages"] == len(pydocs[0])
    assert rows[""]["occurrences"] == sum(row["occurrences"] for word, row in rows.items() if word)
    assert "the" not in rows


def test_a_query_without_a_word_of_the_corpus_has_no_candidates(table, tmp_path):
    passages = [{"doc_id": "a", "text": "Sort an array."}, {"doc_id": "b", "text": "? !"}]
    corpus = [table("words", "corpus", passages), table("none", "corpus", [{"doc_id": "c", "text": "the"}])]
    asked = [{"query_id": "q1", "text": "zygote"}, {"query_id": "q2", "text": "array"}, {"query_id": "q3", "text": "?"}]
    asked = {"queries": table("asked", "queries", asked)}
    for parts in (1, 2):
        found = rankings(mined("bm25", {"corpus": corpus}, asked, 5, parts, tmp_path))
        assert {query_id: [doc_id for doc_id, _ in ranking] for query_id, ranking in found.items()} == {"q2": ["a"]}


def test_a_part_and_a_corpus_may_hold_fewer_passages_than_asked_for(shards, queries, pydocs, tmp_path, caplog):
    size = len(pydocs[0])
    found = rankings(mined("hard", shards(3), queries, size, 3, tmp_path))
    assert {len(ranking) for ranking in found.values()} == {size}
    assert "no query has more" not in caplog.text
    assert rankings(mined("hard", shards(3), queries, size + 1, 3, tmp_path)) == found
    assert f"{size + 1} candidates a query are asked for, and no query has more than {size}" in caplog.text


def test_parts_of_other_queries_are_refused(shards, queries, tmp_path):
    files = shards(1)
    mine_hard(queries["embeddings"], files["embeddings"], files["indexes"], 5, str(tmp_path / "part.parquet"))
    turned = read_rows(queries["queries"], "queries").to_pylist()[::-1]
    write_rows(tmp_path / "turned.parquet", "queries", turned)
    with pytest.raises(BackfireError, match=r"part\.parquet"):
        merge_candidates([str(tmp_path / "part.parquet")], str(tmp_path / "turned.parquet"), 5, "unused", True)
    assert not Path("unused").exists()


def test_words_that_were_not_counted_are_refused(shards, queries, tmp_path):
    count_terms(shards(3)["corpus"][:1], str(tmp_path / "terms.parquet"))
    with pytest.raises(BackfireError, match="words that were not counted"):
        mine_bm25(
            str(tmp_path / "terms.parquet"), shards(1)["corpus"], queries["queries"], 5, str(tmp_path / "x.parquet")
        )
    assert isinstance(read_rows(tmp_path / "terms.parquet", "terms"), pa.Table)
