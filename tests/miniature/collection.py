"""What a miniature MS MARCO holds: real text, ids as published, and the flaws of the real one.

Texts are Python documentation (pydocs): the first paragraph of a docstring is a query, the rest its passage.
"""

import random
import re
from dataclasses import dataclass
from itertools import islice

from ir_datasets.datasets.msmarco_passage import SPLIT200_QIDS

from backfire.datasets.load import load_corpus, load_split

# Characters that occur in running text; the drawings in some docstrings do not.
_TEXT = re.compile(r"[\x20-\x7e\xa1-\u024f\u0370-\u03ff\u2010-\u2026\u2190-\u22ff]*")
PASSAGES, COPIES = 380, 20


@dataclass(frozen=True)
class Miniature:
    """Texts as they were meant; `mangled` tells which passages are published double-encoded.

    A passage id is a position in `passages`; `copies` maps the id of a copy to that of its original. Query sets
    hold texts by query id, qrels (query id, passage id, grade), and triples (query id, positive id, negative id).
    """

    passages: list[str]
    mangled: frozenset[int]
    copies: dict[int, int]
    queries: dict[str, dict[str, str]]
    qrels: dict[str, list[tuple[str, int, int]]]
    triples: list[tuple[str, int, int]]

    def published(self, passage: int) -> str:
        """The text of a passage as collection.tsv has it; in some one of several accented characters is whole."""
        text = self.passages[passage]
        accented = sorted({each for each in text if not each.isascii()})
        whole = accented[0] if passage % 2 and len(accented) > 1 else ""
        return double_encoded(text, whole) if passage in self.mangled else text

    def judged(self, query_set: str) -> set[str]:
        """Ids of the queries that have a relevant passage."""
        return {query_id for query_id, _, grade in self.qrels[query_set] if grade > 0}


@dataclass(frozen=True)
class Pair:
    """A query and the passage that answers it, with the name that both were documented under."""

    name: str
    query: str
    passage: str


def double_encoded(text: str, keep: str = "") -> str:
    """`text` with its UTF-8 bytes taken for Latin-1 characters, except for the characters in `keep`."""
    return "".join(each if each in keep else each.encode().decode("latin-1") for each in text)


def pairs() -> list[Pair]:
    """Short pairs in an order of no meaning, those with accented text first."""
    texts = {doc.doc_id: doc.text for doc in load_corpus("pydocs").docs_iter()}
    found = []
    for split in ("train", "dev", "test", "unseen"):
        dataset = load_split("pydocs", f"pydocs/{split}")
        queries = {query.query_id: query.text for query in dataset.queries_iter()}
        found += [
            Pair(judged.doc_id, queries[judged.query_id], texts[judged.doc_id]) for judged in dataset.qrels_iter()
        ]
    short = [
        pair
        for pair in found
        if 20 <= len(pair.query) <= 120
        and 80 <= len(pair.passage) <= 400
        and _TEXT.fullmatch(pair.query)
        and _TEXT.fullmatch(pair.passage)
    ]
    random.Random(0).shuffle(short)
    return sorted(short, key=lambda pair: pair.query.isascii() + pair.passage.isascii())


def miniature() -> tuple[Miniature, list[Pair]]:
    """The collection, and pairs that it does not use."""
    choice = random.Random(1)
    pool = pairs()
    chosen, rest = pool[:PASSAGES], iter(pool[PASSAGES:])
    choice.shuffle(chosen)
    texts, originals = _with_copies(chosen, choice)
    positions = list(range(len(texts)))
    choice.shuffle(positions)
    passages = [text for _, text in sorted(zip(positions, texts, strict=True))]
    position = {pair: positions[index] for index, pair in enumerate(chosen)}
    copies = {positions[copy]: positions[original] for copy, original in originals.items()}
    # A copy with the same text differs in its encoding alone.
    twins = {copy for copy, original in copies.items() if passages[copy] == passages[original]}
    accented = [each for each, text in enumerate(passages) if not text.isascii() and each not in copies]
    originals_of_twins = {copies[copy] for copy in twins}
    mangled = twins | {each for each in accented if each not in originals_of_twins and each % 4}

    # Those with a copy and those with an accented query are among the training queries.
    order = sorted(chosen, key=lambda pair: (position[pair] not in copies.values(), pair.query.isascii()))
    judged = iter(order)
    ids = iter(choice.sample(range(1000, 1_190_000), 400))
    held_out = iter(sorted(SPLIT200_QIDS)[::7])
    fresh = (str(number) for number in ids if str(number) not in SPLIT200_QIDS)

    def asked(count, numbers=fresh):
        return {next(numbers): pair for pair in islice(judged, count)}

    def unjudged(count, numbers=fresh):
        return {next(numbers): next(rest).query for _ in range(count)}

    answered = {"train": asked(60) | asked(20, held_out)}
    # Passage and query ids are unrelated numbers that meet by accident; here a query has the id of its own passage.
    first = next(judged)
    answered["dev.small"] = {str(position[first]): first} | asked(39)
    answered |= {"dl19": asked(10), "dl20": asked(10)}
    answered["dev"] = answered["dev.small"] | asked(10)
    extra = {"train": unjudged(10) | unjudged(5, held_out), "dev": unjudged(8), "dev.small": {}}
    extra |= {"dl19": unjudged(5), "dl20": unjudged(5)}
    queries = {
        name: _mixed({query_id: pair.query for query_id, pair in answered[name].items()} | extra[name], choice)
        for name in answered
    }
    queries["eval.small"] = unjudged(10)
    queries["eval"] = _mixed(queries["eval.small"] | unjudged(10), choice)

    copy_of = {original: copy for copy, original in copies.items()}
    qrels = {}
    for name in ("train", "dev"):
        qrels[name] = []
        for number, (query_id, pair) in enumerate(answered[name].items()):
            own = position[pair]
            qrels[name].append((query_id, own, 1))
            # Some have a second positive: the copy of the first, where it is judged, or else a neighbour.
            if number % 4 == 0:
                qrels[name].append((query_id, copy_of.get(own, (own + 1) % len(passages)), 1))
    qrels["dev.small"] = [row for row in qrels["dev"] if row[0] in queries["dev.small"]]
    for name in ("dl19", "dl20"):
        qrels[name] = [row for query_id, pair in answered[name].items() for row in _graded(query_id, position[pair])]
    # One is judged without a relevant passage, one without a passage of grade 2 or 3.
    nothing, *others = answered["dl20"]
    # Its answer says what it asks, so that any model ranks it among the first.
    little = max(others, key=lambda query_id: _share_of_words(answered["dl20"][query_id]))
    limit = {nothing: 0, little: 1}
    qrels["dl20"] = [(query, passage, min(grade, limit.get(query, 3))) for query, passage, grade in qrels["dl20"]]

    positives: dict[str, list[int]] = {}
    for query_id, passage, _ in qrels["train"]:
        positives.setdefault(query_id, []).append(passage)
    triples = []
    for query_id, relevant in positives.items():
        others = [each for each in range(len(passages)) if each not in relevant]
        triples += [(query_id, choice.choice(relevant), each) for each in choice.sample(others, 5)]
        # The unjudged copy of a positive is a negative too, in the published file.
        triples += [(query_id, own, copy_of[own]) for own in relevant if copy_of.get(own, own) not in relevant]
    choice.shuffle(triples)
    return Miniature(passages, frozenset(mangled), copies, queries, qrels, triples), list(rest)


def _with_copies(chosen: list[Pair], choice: random.Random) -> tuple[list[str], dict[int, int]]:
    """Texts of the pairs and of copies behind them; half differ in encoding alone, half in case, space and stops."""
    texts = [pair.passage for pair in chosen]
    accented = [index for index, text in enumerate(texts) if not text.isascii()]
    plain = [index for index, text in enumerate(texts) if text.isascii()]
    same = choice.sample(accented, COPIES // 2)
    alike = choice.sample(plain, COPIES // 2)
    copies = [texts[index] for index in same] + [f"{texts[index].upper()} ." for index in alike]
    return texts + copies, dict(enumerate([*same, *alike], start=len(texts)))


def _graded(query_id: str, own: int) -> list[tuple[str, int, int]]:
    """Judgments of the grades 3 to 0, for the passage that answers and for neighbours."""
    neighbours = [(own + step) % (PASSAGES + COPIES) for step in range(1, 9)]
    return list(zip([query_id] * 9, [own, *neighbours], [3, 2, 1, 1, 0, 0, 0, 0, 0], strict=True))


def _share_of_words(pair: Pair) -> float:
    """How much of the query stands in its passage."""
    words = set(pair.query.casefold().split())
    return len(words & set(pair.passage.casefold().split())) / len(words)


def _mixed(queries: dict[str, str], choice: random.Random) -> dict[str, str]:
    order = list(queries)
    choice.shuffle(order)
    return {query_id: queries[query_id] for query_id in order}
