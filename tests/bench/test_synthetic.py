"""The synthetic collection has the statistics it claims, and is a real collection to the loader."""

import json
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest
from tokenizers import Tokenizer

from backfire.datasets.export import export_corpus, export_queries
from backfire.encoders.encoder import load_encoder
from backfire.encoders.encoding import encode
from backfire.formats.atomic import read_json

PASSAGES = 30_000


def generate(root, folder, passages, *arguments):
    command = [sys.executable, "-m", "bench.synthetic", "--passages", str(passages), "--out", str(folder), *arguments]
    return subprocess.run(command, cwd=root, check=False, capture_output=True, text=True)


@pytest.fixture(scope="module")
def made(root, tmp_path_factory):
    folder = tmp_path_factory.mktemp("synthetic")
    done = generate(root, folder / "c", PASSAGES, "--model", str(folder / "model"))
    assert done.returncode == 0, done.stderr
    return folder


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def texts(made):
    return [row["text"] for row in lines(made / "c/corpus.jsonl")]


def bare(text):
    return text.replace(".", "").replace(",", "").split()


def test_length_is_that_of_ms_marco_and_skewed(texts):
    lengths = np.array([len(text.split()) for text in texts])
    assert len(lengths) == PASSAGES
    assert 54 < lengths.mean() < 58
    assert np.median(lengths) < lengths.mean() - 3


def test_words_are_about_as_many_tokens_as_in_english(texts, base_model):
    tokenizer = Tokenizer.from_file(str(base_model / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    sample = texts[::30]
    tokens = [encoding.ids for encoding in tokenizer.encode_batch(sample, add_special_tokens=False)]
    assert 1.2 < sum(map(len, tokens)) / sum(len(text.split()) for text in sample) < 1.4
    assert tokenizer.token_to_id("[UNK]") not in {token for ids in tokens for token in ids}


def test_vocabulary_grows_and_its_frequencies_fall(texts):
    distinct = []
    for count in (PASSAGES // 10, PASSAGES):
        words = Counter(word for text in texts[:count] for word in bare(text))
        distinct.append(len(words))
    # Heaps' exponent from one tenth to all.
    assert 0.4 < np.log10(distinct[1] / distinct[0]) < 0.7
    shares = np.array([n for _, n in words.most_common()]) / words.total()
    assert 0.01 < shares[0] < 0.05
    assert 0.3 < shares[:100].sum() < 0.5


def test_queries_are_short_and_most_have_one_answer_that_shares_words(made, texts):
    queries = {row["_id"]: row["text"].split() for row in lines(made / "c/queries.jsonl")}
    assert 5.5 < np.mean([len(words) for words in queries.values()]) < 6.5
    splits = [(made / f"c/qrels/{name}.tsv").read_text().splitlines()[1:] for name in ("train", "dev", "test")]
    pairs = [line.split("\t") for split in splits for line in split]
    answers = Counter(query for query, _, _ in pairs)
    assert answers.keys() == queries.keys()
    assert len({query for query in answers}) == sum(len({line.split("\t")[0] for line in split}) for split in splits)
    assert 0.02 < np.mean([count > 1 for count in answers.values()]) < 0.12
    shared = [len(set(queries[query]) & set(bare(texts[int(doc)]))) for query, doc, _ in pairs]
    assert np.mean(shared) > 3


def test_some_passages_nearly_repeat_the_one_before(texts):
    pairs = ((set(bare(a)), set(bare(b))) for a, b in zip(texts, texts[1:], strict=False))
    near = np.mean([len(a & b) > 0.8 * len(a | b) for a, b in pairs])
    assert 0.015 < near < 0.04


def test_a_smaller_collection_is_the_beginning_of_a_larger_one(root, made, tmp_path):
    done = generate(root, tmp_path / "small", 12_000)
    assert done.returncode == 0, done.stderr
    small = (tmp_path / "small/corpus.jsonl").read_bytes()
    assert small == (made / "c/corpus.jsonl").read_bytes()[: len(small)]
    assert generate(root, tmp_path / "again", 12_000).returncode == 0
    for name in ("corpus.jsonl", "queries.jsonl", "qrels/train.tsv", "qrels/dev.tsv", "qrels/test.tsv"):
        assert (tmp_path / "small" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
    assert generate(root, tmp_path / "other", 12_000, "--seed", "1").returncode == 0
    assert (tmp_path / "other/corpus.jsonl").read_bytes() != small


def test_more_queries_than_passages_are_refused(root, tmp_path):
    done = generate(root, tmp_path / "c", 100, "--train", "200")
    assert done.returncode
    assert "at most one for a passage" in done.stderr
    assert not list(tmp_path.iterdir())


def test_it_loads_as_a_folder_in_beir_layout(made, tmp_path):
    shards = [str(tmp_path / f"{i}.parquet") for i in (1, 2)]
    export_corpus(str(made / "c"), None, shards, str(tmp_path / "corpus.json"))
    kept = read_json(tmp_path / "corpus.json")
    assert (kept["read"], kept["kept"]) == (PASSAGES, PASSAGES)
    export_queries(str(made / "c"), "test", shards, str(tmp_path / "q"), str(tmp_path / "r"), str(tmp_path / "m.json"))
    assert read_json(tmp_path / "m.json")["queries"]["kept"] == round(6980 * PASSAGES / 8_841_823)


def test_the_model_is_one_to_sentence_transformers(made, texts):
    from sentence_transformers import SentenceTransformer

    theirs = SentenceTransformer(str(made / "model"), device="cpu").encode(texts[:50])
    ours = encode(load_encoder(made / "model", "fp32"), texts[:50], "document", 512, 2048)
    np.testing.assert_allclose(ours, theirs, atol=1e-6)
