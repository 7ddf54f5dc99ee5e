"""What to do instead of the variants that a study lists: sets of alternatives that it may ask for by one word.

They become variants of the study like any that it lists, so that everything that is said of a variant is said of them.
Loaded whenever the DAG is built, so it uses the standard library only.
"""

import copy
from typing import Any

from backfire.study.judge import CROSS_ENCODER
from backfire.study.variants import BASE, BEST, METHODS, Given, Lexical, Reranked, Taken, Trained

CHEAP, STANDARD, ALL = "cheap", "standard", "all"
SETS = (CHEAP, STANDARD, ALL)
# How far from base to the best variant.
SHARES = (0.25, 0.5, 0.75)
RANKING = {"name": "multiple_negatives_ranking"}
# What a variant on filtered negatives is called, and its set of triples ends with.
FILTERED = "filtered"


def offer(config: dict[str, Any]) -> None:
    """Add the alternatives that a configuration asks for to its variants and triple sets, in place.

    `cheap` trains nothing: BM25, BM25 fused with base and with the best of the trained variants, the weights a quarter,
    a half or three quarters of the way to that one, and of several seeds the average of all of its models. `standard`
    also trains in-batch contrastive learning on the triples of one of the study's own variants (the first that is fully
    tuned on hard negatives, or else the first that is fully tuned), the same of queries alone, the same held near base,
    and the same on negatives that are filtered. `all` takes as well what a teacher gives that one of the triple sets
    names: a variant that follows its scores and, of a cross-encoder, base's runs reranked by it; and counts the study's
    own models and runs from elsewhere. A variant of the study that has the name of one stands in its place, as one of
    its own. A list names sets and variants of the study. What is asked for becomes the list of alternatives; what is
    not well-formed is left for the schema to refuse.
    """
    asked, variants = config.get("alternatives"), config.get("variants")
    listed = [asked] if asked in SETS else asked
    if not isinstance(listed, list) or not isinstance(variants, dict):
        return
    sets = [each for each in listed if each in SETS]
    offered = _offered(config, variants, sets) if sets else {}
    named = [each for each in listed if each not in sets]
    if ALL in sets:
        named += [name for name, block in variants.items() if name not in (BASE, *named) and _from_elsewhere(block)]
    config["alternatives"] = [*named, *(name for name in offered if name not in [*variants, *named])]
    for name, block in offered.items():
        variants.setdefault(name, copy.deepcopy(block))


def _offered(config: dict[str, Any], variants: dict[str, Any], sets: list[str]) -> dict[str, dict[str, Any]]:
    """The variants of sets of alternatives, by name."""
    blocks = {name: block for name, block in variants.items() if isinstance(block, dict)}
    # Weights can be averaged over what comes of one model.
    trained = [name for name, block in blocks.items() if _tuned(block) and block.get("start_from", BASE) == BASE]
    offered: dict[str, dict[str, Any]] = {
        "bm25": {"method": "bm25"},
        "bm25_base": {"method": "fuse", "of": [BASE, "bm25"]},
    }
    if trained:
        offered["bm25_best"] = {"method": "fuse", "of": ["bm25", BEST], "best_of": trained}
        offered["best_mixed"] = {"method": "mix", "of": [BASE, BEST], "shares": [*SHARES], "best_of": trained}
        seeds = config.get("seeds")
        if isinstance(seeds, list) and len(seeds) > 1:
            offered["best_soup"] = {"method": "mix", "of": [BEST], "best_of": trained, "over_seeds": True}
    if not {STANDARD, ALL}.isdisjoint(sets):
        offered |= _retrained(config, blocks, trained)
    if ALL in sets:
        offered |= _taught(config, blocks, trained)
    return offered


def _tuned(block: dict[str, Any]) -> bool:
    return METHODS.get(str(block.get("method"))) is Trained


def _retrained(config: dict[str, Any], blocks: dict[str, Any], trained: list[str]) -> dict[str, dict[str, Any]]:
    """Alternatives that are trained, with the settings of one of the study's own variants but for their objective."""
    triples = config.get("triples") if isinstance(config.get("triples"), dict) else {}
    own = _pattern(triples, blocks, trained)
    if own is None:
        return {}
    held = {"name": "weighted", "terms": [RANKING, {"name": "anchor", "weight": 0.1}]}
    offered = {
        "contrastive": own | {"loss": RANKING},
        "queries_alone": own | {"loss": RANKING, "freeze": "passages"},
        "anchored": own | {"loss": held},
    }
    if _negatives(triples, own) in ("bm25", "hard", "random"):
        name = f"{own['triples']}_{FILTERED}"
        triples.setdefault(name, copy.deepcopy(triples[own["triples"]]) | {"filter": {"relative_margin": 0.05}})
        offered[FILTERED] = own | {"loss": RANKING, "triples": name}
    return offered


def _pattern(triples: dict[str, Any], blocks: dict[str, Any], trained: list[str]) -> dict[str, Any] | None:
    """Settings of the variant that others take theirs from."""
    full = [name for name in trained if blocks[name]["method"] == "full"]
    hard = [name for name in full if _negatives(triples, blocks[name]) == "hard"]
    return blocks[(hard or full)[0]] if full else None


def _taught(config: dict[str, Any], blocks: dict[str, Any], trained: list[str]) -> dict[str, dict[str, Any]]:
    """What the first teacher that a triple set names can give."""
    triples = config.get("triples") if isinstance(config.get("triples"), dict) else {}
    named = [(name, block.get("teacher")) for name, block in triples.items() if isinstance(block, dict)]
    found = [(name, teacher) for name, teacher in named if isinstance(teacher, dict) and teacher.get("model")]
    if not found:
        return {}
    name, teacher = found[0]
    offered = {}
    if (own := _pattern(triples, blocks, trained)) is not None:
        offered["distilled"] = own | {"triples": name, "loss": {"name": "margin_mse"}}
    if teacher.get("kind", CROSS_ENCODER) == CROSS_ENCODER:
        weights = {"model": teacher["model"], "model_sha256": teacher.get("model_sha256")}
        offered["base_reranked"] = {"method": "rerank", "of": BASE} | weights
    return offered


def _from_elsewhere(block: Any) -> bool:
    """Whether a variant is made of nothing in the study."""
    return isinstance(block, dict) and METHODS.get(str(block.get("method"))) in (Taken, Given, Lexical, Reranked)


def _negatives(triples: dict[str, Any], block: dict[str, Any]) -> str | None:
    found = triples.get(block.get("triples"))
    return found.get("negatives") if isinstance(found, dict) else None
