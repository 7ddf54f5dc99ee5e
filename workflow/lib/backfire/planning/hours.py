"""Time: how long the long stages take at the rates that were measured. All formulas of durations are here."""

from dataclasses import dataclass

from backfire.planning.facts import Facts
from backfire.planning.probe import QUERY_TOKENS, Rates, padded_tokens
from backfire.planning.sizes import Stage, course, ranked_queries, training_queries, triple_count
from backfire.study.study import Study
from backfire.study.variants import Reranked

# What most cross-encoders take at most.
PAIR_TOKENS = 512


@dataclass(frozen=True)
class Duration:
    """Seconds of a stage; `on_gpu` says whether its work can be shared between GPUs."""

    stage: str
    seconds: float
    on_gpu: bool = False


def durations(study: Study, facts: dict[str, Facts], rates: Rates, sizes: list[Stage]) -> list[Duration]:
    """Seconds of the stages that take long, one job after another."""
    return [
        Duration("encode", _encoding(study, facts, rates), on_gpu=True),
        Duration("train", _training(study, facts, rates), on_gpu=True),
        *([Duration("mine hard negatives", _mining(study, facts, rates))] if _mined_depths(study) else []),
        *([Duration("score examples", _scoring(study, facts, rates), on_gpu=True)] if study.taught_by else []),
        Duration("rank", _ranking(study, facts, rates)),
        *([Duration("rerank", _reranking(study, facts, rates), on_gpu=True)] if study.named(Reranked) else []),
        *([Duration("other protocols", _protocols(study, facts, rates), on_gpu=True)] if study.choices else []),
        Duration("write files", sum(stage.peak for stage in sizes if stage.place == "work") / rates.written_per_second),
    ]


def corpus_seconds(facts: Facts, max_length: int, rates: Rates) -> float:
    """Seconds to encode a corpus once."""
    tokens = padded_tokens(facts.passage_tokens, max_length)
    return (facts.passages or 0) * tokens / rates.tokens_per_second


def variant_seconds(study: Study, facts: dict[str, Facts], rates: Rates, variant: str) -> float:
    """Seconds to train one seed of a variant: its steps, the development set encoded at every interval, and held-out
    examples at every look."""
    going = course(study, facts, variant)
    steps = going.steps
    dynamics = study.config["dynamics"]
    here = facts[study.train_on]
    pool = min(dynamics["pool"], here.passages or 0)
    limit = study.variants[variant].settings["max_length"]
    passage, query = padded_tokens(here.passage_tokens, limit), padded_tokens(QUERY_TOKENS, limit)
    encoded = (2 + steps // dynamics["interval"]) * (pool * passage + dynamics["queries"] * query)
    passages = study.triples[study.variants[variant].triples].texts - 1
    encoded += going.looks * going.held_out * (query + passages * passage)
    return steps * rates.step[variant] + encoded / rates.tokens_per_second


def search_seconds(passages: int, shards: int, queries: int, rates: Rates) -> float:
    """Seconds of an exact search of `queries` over a corpus."""
    return queries * (passages * rates.seconds_per_pair + shards * rates.seconds_per_merge)


def _encoding(study: Study, facts: dict[str, Facts], rates: Rates) -> float:
    limit = study.config["encoding"]["max_length"]
    corpora = sum(len(study.encoding(name)) * corpus_seconds(each, limit, rates) for name, each in facts.items())
    queries = sum(ranked_queries(study, facts, name) for name in facts)
    rows = len(study.embedded_runs) * queries + (training_queries(study, facts) if study.trained else 0)
    return corpora + rows * padded_tokens(QUERY_TOKENS, limit) / rates.query_tokens_per_second


def _training(study: Study, facts: dict[str, Facts], rates: Rates) -> float:
    return sum(variant_seconds(study, facts, rates, variant) for variant, _ in study.trained_runs)


def _mined_depths(study: Study) -> set[int]:
    used = {study.variants[name].triples for name in study.trained}
    return {each.depth for name, each in study.triples.items() if name in used and each.negatives == "hard"}


def _mining(study: Study, facts: dict[str, Facts], rates: Rates) -> float:
    corpus, queries = facts[study.train_on].passages or 0, training_queries(study, facts)
    once = search_seconds(corpus, study.shards_of(study.train_on), queries, rates)
    return len(_mined_depths(study)) * once


def _ranking(study: Study, facts: dict[str, Facts], rates: Rates) -> float:
    total = len(study.embedded_runs) * sum(
        search_seconds(each.passages or 0, study.shards_of(name), ranked_queries(study, facts, name), rates)
        for name, each in facts.items()
    )
    if study.config["protocol"] is None:
        return total
    # Base once more, without passages of the query's own id.
    (name, split), each = study.protocol, facts[study.protocol[0]]
    return total + search_seconds(each.passages or 0, study.shards_of(name), each.queries[split] or 0, rates)


def _reranking(study: Study, facts: dict[str, Facts], rates: Rates) -> float:
    """At the rate of the base: that of a cross-encoder of its size, which is what most are."""
    total = 0.0
    for name, _ in study.runs:
        each = study.variants[name]
        if isinstance(each, Reranked):
            limit = each.settings["max_length"] or PAIR_TOKENS
            depth = min(each.settings["depth"], study.config["ranking"]["depth"])
            total += sum(
                ranked_queries(study, facts, collection)
                * min(depth, here.passages or 0)
                * padded_tokens(here.passage_tokens + QUERY_TOKENS, limit)
                for collection, here in facts.items()
            )
    return total / rates.tokens_per_second


def _scoring(study: Study, facts: dict[str, Facts], rates: Rates) -> float:
    """Of every seed's examples by their teacher, at the rate of the base (see `_reranking`)."""
    passage, tokens = facts[study.train_on].passage_tokens, 0.0
    for name in study.taught_by:
        each, limit = study.triples[name], study.teacher_length(name) or PAIR_TOKENS
        apart = padded_tokens(QUERY_TOKENS, limit) + (each.texts - 1) * padded_tokens(passage, limit)
        together = (each.texts - 1) * padded_tokens(passage + QUERY_TOKENS, limit)
        one = together if each.teacher["kind"] == "cross-encoder" else apart
        tokens += len(study.seeds) * triple_count(study, facts, name) * one
    return tokens / rates.tokens_per_second


def _protocols(study: Study, facts: dict[str, Facts], rates: Rates) -> float:
    collection, split = study.protocol
    each = facts[collection]
    total = 0.0
    for choice in study.choices.values():
        limit = choice.value if choice.factor == "max_length" else study.config["encoding"]["max_length"]
        total += corpus_seconds(each, limit, rates)
        total += search_seconds(each.passages or 0, study.shards_of(collection), each.queries[split] or 0, rates)
    return total
