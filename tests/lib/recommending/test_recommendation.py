"""The recommendation follows from the tables: made-up outcomes, from the files of a study to the sentence."""

from dataclasses import dataclass, field
from itertools import combinations

import pytest
import yaml
from example_study import PRIMARY, TRAINED, example_config

from backfire.formats.atomic import write_json
from backfire.formats.tables import read_rows, write_rows
from backfire.recommending.costs import Costs
from backfire.recommending.make import recommend
from backfire.report.findings import Findings
from backfire.report.recommendation import recommendation
from backfire.study.settings import checked
from backfire.study.study import Study

UNSEEN, OTHER, MIB = ("pydocs", "unseen"), ("vaswani", "test"), 2**20
PASSAGES = 2700
# A gain, nothing, a loss, and something that is not known, as (verdict, difference).
GAIN, LARGE, SAME = ("HELPS", 0.03), ("HELPS", 0.05), ("EQUIVALENT", 0.0004)
LOSS, OPEN = ("HARMS", -0.04), ("INCONCLUSIVE", 0.012)
SYSTEMS = {
    **{name: {} for name in TRAINED},
    "bm25": {"method": "bm25"},
    "bm25_base": {"method": "fuse", "of": ["base", "bm25"]},
    "bm25_best": {"method": "fuse", "of": ["bm25", "best"], "best_of": TRAINED},
    "half": {"method": "mix", "of": {"base": 0.5, "best": 0.5}, "best_of": TRAINED},
    "other": {"method": "none", "model": "someone/another-model"},
    "reranked": {"method": "rerank", "of": "base", "model": "someone/a-cross-encoder", "depth": 50},
}


@dataclass
class Outcome:
    """What came out of a study, and what is to be recommended; variants that are not named harm."""

    chosen: str
    runner_up: str | None
    found: dict[str, tuple[str, float]] = field(default_factory=dict)
    falls: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Where a variant is worse than base, beside the primary query set."""
    open: tuple[str, ...] = ()
    """Of which it is not known what they lose on other text."""
    better: set[tuple[str, str]] = field(default_factory=set)
    costs: dict[tuple[str, str], float] = field(default_factory=dict)
    """Quantities of the table `cost` that are others than usual."""
    query_time: float | None = 50.0
    said: tuple[str, ...] = ()
    """What the advice says, title and text."""


OUTCOMES = {
    "all harm": Outcome("base", None, said=("Keep the base model.", "Every variant ranks worse than base")),
    "all equal": Outcome("base", None, dict.fromkeys(SYSTEMS, SAME), said=("nothing that was tried changes",)),
    "nothing shown": Outcome(
        "base",
        "half",
        dict.fromkeys(SYSTEMS, ("INCONCLUSIVE", -0.002)) | {"half": OPEN},
        said=(
            "Keep the base model for now.",
            "Runner-up: half",
            "half if its gain is real",
            "9,000 queries would settle",
        ),
    ),
    "some harm, none helps": Outcome(
        "base", None, {"full_hard": SAME}, said=("Keep the base model.", "No variant helps on pydocs/test, and")
    ),
    "one trained variant helps": Outcome(
        "full_hard",
        None,
        {"full_hard": GAIN},
        said=(
            "Use full_hard: RR@10 +0.0300 [",
            "the only variant whose gain",
            "trained once; another seed",
            "5.0 min of",
        ),
    ),
    "gain but forgetting": Outcome(
        "base",
        "full_hard",
        {"full_hard": GAIN},
        falls={"full_hard": OTHER},
        said=(
            "Keep the base model.",
            "but full_hard loses on vaswani/test",
            "if queries like those of vaswani/test do not",
        ),
    ),
    "gain that does not carry over": Outcome(
        "base", "full_hard", {"full_hard": GAIN}, falls={"full_hard": UNSEEN}, said=("loses on pydocs/unseen",)
    ),
    "forgetting, and one that does not": Outcome(
        "half",
        "full_hard",
        {"full_hard": LARGE, "half": GAIN},
        falls={"full_hard": OTHER},
        said=("Use half", "Runner-up: full_hard", "which loses on vaswani/test"),
    ),
    "gain by BM25 alone": Outcome(
        "bm25", None, {"bm25": GAIN}, said=("Search by BM25 in place of the base (bm25)", "no training, no passage to")
    ),
    "fusion ties with a trained one, and costs less": Outcome(
        "bm25_base",
        "full_hard",
        {"bm25_base": GAIN, "full_hard": LARGE},
        said=(
            "Keep the base and add bm25 by rank fusion (bm25_base)",
            "no training, no passage to encode again, 9 ms a query",
            "which costs least to set up",
            "Runner-up: full_hard",
            "full_hard if it is better, which is open",
        ),
    ),
    "a trained one is shown to be better than the fusion": Outcome(
        "full_hard",
        "bm25_base",
        {"bm25_base": GAIN, "full_hard": LARGE},
        better={("full_hard", "bm25_base")},
        said=("Use full_hard", "full_hard is better than bm25_base", "is shown to be worse than full_hard"),
    ),
    "tie on quality, decided by training time": Outcome(
        "lora_hard",
        "full_hard",
        {"full_hard": LARGE, "lora_hard": GAIN},
        costs={("full_hard", "training_time"): 3000.0},
        said=("Use lora_hard", "takes longer to set up, 50.5 min against 5.5 min"),
    ),
    "tie on quality and on cost, decided by the mean": Outcome(
        "full_hard",
        "full_bm25",
        {"full_hard": LARGE, "full_bm25": GAIN},
        costs={("full_hard", "training_time"): 400.0},
        said=("cost about the same; full_hard has the highest mean",),
    ),
    "tie on quality, decided by the time for a query": Outcome(
        "other",
        "reranked",
        {"other": GAIN, "reranked": LARGE},
        costs={("other", "encoding_rate"): 1e9, ("reranked", "reranking_time"): 40.0},
        said=("Use someone/another-model in place of the base (other)",),
    ),
    "tie on quality, decided by the size of indexes": Outcome(
        "full_hard",
        "bm25_best",
        {"full_hard": GAIN, "bm25_best": GAIN, "lora_hard": LARGE},
        costs={("full_hard", "index"): 1.0},
        said=("Use full_hard", "Runner-up: "),
    ),
    "a cross-encoder in time": Outcome(
        "reranked",
        "full_hard",
        {"reranked": GAIN, "full_hard": GAIN},
        said=(
            "Keep the base and rerank the first 50 passages of base by someone/a-cross-encoder (reranked)",
            "no training",
        ),
    ),
    "a cross-encoder that is too slow": Outcome(
        "base",
        "reranked",
        {"reranked": LARGE},
        costs={("reranked", "reranking_time"): 900.0},
        said=(
            "reranked takes 906 ms a query, more than 50 ms beyond base",
            "reranked (+0.0500",
            "if a query may take 906",
        ),
    ),
    "a slow one where time is no matter": Outcome(
        "reranked", None, {"reranked": LARGE}, costs={("reranked", "reranking_time"): 900.0}, query_time=None
    ),
    "too slow, and a weaker one in time": Outcome(
        "half",
        "reranked",
        {"reranked": LARGE, "half": GAIN},
        costs={("reranked", "reranking_time"): 900.0},
        better={("reranked", "half")},
        said=("Use half", "if a query may take 906"),
    ),
    "a mix costs what it is mixed of": Outcome(
        "full_hard",
        "half",
        {"full_hard": GAIN, "half": LARGE},
        costs={("full_hard", "encoding_rate"): 1e6, ("half", "encoding_rate"): 5.0},
        said=("Use full_hard", "half if it is better"),
    ),
    "what it loses elsewhere is not known": Outcome(
        "full_hard", None, {"full_hard": GAIN}, open=("full_hard",), said=("Whether full_hard loses on",)
    ),
    "everything helps": Outcome(
        "bm25_base",
        "bm25",
        dict.fromkeys(SYSTEMS, GAIN) | {"full_hard": LARGE},
        better={("bm25_base", "bm25"), ("full_hard", "lora_bm25")},
        costs={("reranked", "reranking_time"): 45.0},
        said=("a family of 45: ", "bm25_base is better than bm25"),
    ),
}


def study_of(root, query_time):
    config = example_config(root, dict.fromkeys(TRAINED, "HELPS"))
    config["variants"] |= {name: dict(block) for name, block in SYSTEMS.items() if block}
    config["recommendation"] = {"query_time": query_time}
    schema = yaml.safe_load((root / "workflow/schemas/config.yaml").read_text(encoding="utf-8"))
    return Study(checked(config, schema))


def comparison(outcome):
    """Rows of the table `comparison` for the primary measure."""
    found = {name: outcome.found.get(name, LOSS) for name in SYSTEMS}
    rows = []
    for place in (PRIMARY[:2], UNSEEN, OTHER):
        where = {"collection": place[0], "split": place[1], "measure": PRIMARY[2], "queries": 250, "seeds": 1}
        where |= {"reference": "base", "reference_mean": 0.55, "margin": 0.005}
        rows.append(where | {"variant": "base", "mean": 0.55, "delta": 0.0, "verdict": "BASE"})
        for name, (verdict, delta) in found.items():
            primary = place == PRIMARY[:2]
            here = delta if primary else -0.05 if outcome.falls.get(name) == place else 0.001
            said = verdict if primary else "HARMS" if here < 0 else "INCONCLUSIVE"
            kept = None if primary else "forgets" if here < 0 else "open" if name in outcome.open else "keeps"
            numbers = {"delta": here, "mean": 0.55 + here, "ci_low": here - 0.02, "ci_high": here + 0.02}
            family = "claims" if primary else "explores"
            more = {"verdict": said, "retention": kept, "family": family, "queries_needed": 9000}
            rows.append(where | numbers | more | {"variant": name})
    helping = sorted((name for name in found if found[name][0] == "HELPS"), key=lambda name: -found[name][1])
    for one, two in combinations(helping, 2):
        first, second = (two, one) if (two, one) in outcome.better else (one, two)
        verdict = "HELPS" if (first, second) in outcome.better else "INCONCLUSIVE"
        delta = found[first][1] - found[second][1]
        where = dict(zip(("collection", "split", "measure"), PRIMARY, strict=True))
        pair = where | {"variant": first, "reference": second, "family": "helpers", "verdict": verdict, "seeds": 1}
        rows.append(pair | {"delta": delta, "ci_low": delta - 0.01, "ci_high": delta + 0.01, "queries_needed": 7000})
    return rows


def costs(study, folder, changed):
    """The table `cost` and the indexes of each variant."""
    usual = {"encoding_rate": 90.0, "query_latency_p50": 5.0, "search_time": 1.0}
    rows, indexes = [], []
    for name, seed in study.costed_runs:
        variant = study.variants[name]
        values = (
            dict(usual) if variant.embedded else {"search_time": 3.0} if variant.searches else {"reranking_time": 30.0}
        )
        values |= {"training_time": 300.0} if variant.trained else {}
        values |= {quantity: value for (of, quantity), value in changed.items() if of == name and quantity in values}
        rows += [
            {"variant": name, "seed": seed, "quantity": quantity, "value": value, "unit": "?"}
            for quantity, value in values.items()
        ]
        if variant.embedded:
            path = folder / f"index/{name}/seed-{seed}/pydocs/1-of-1.faiss"
            path.parent.mkdir(parents=True)
            path.write_bytes(b"0" * int(MIB * changed.get((name, "index"), 4.0)))
            indexes.append(path)
    write_rows(folder / "cost.parquet", "cost", rows)
    return folder / "cost.parquet", indexes


def recommended(outcome, root, folder):
    """(rows of the table, the advice)"""
    study = study_of(root, outcome.query_time)
    rows = comparison(outcome)
    write_rows(folder / "comparison.parquet", "comparison", rows)
    table, indexes = costs(study, folder, outcome.costs)
    write_json(folder / "manifest.json", {"kept": PASSAGES})
    write_json(folder / "best.json", {"chosen": "full_hard"})
    best = dict.fromkeys(study.choosing, folder / "best.json")
    written = folder / "recommendation.parquet", folder / "recommendation.csv"
    recommend(
        folder / "comparison.parquet",
        table,
        folder / "manifest.json",
        indexes,
        best,
        study.made_of,
        PRIMARY,
        outcome.query_time,
        *written,
    )
    systems = read_rows(written[0], "recommendation").to_pylist()
    compared = read_rows(folder / "comparison.parquet", "comparison").to_pylist()
    variants = {name: study.config["variants"][name] for name in study.compared}
    findings = Findings(
        compared, PRIMARY, variants, study.triples, 0.05, ["pydocs"], systems=systems, query_time=outcome.query_time
    )
    return systems, recommendation(findings)


@pytest.mark.parametrize("name", OUTCOMES)
def test_the_recommendation_follows_from_the_tables(name, root, tmp_path):
    outcome = OUTCOMES[name]
    systems, advice = recommended(outcome, root, tmp_path)
    standing = {row["standing"]: row["variant"] for row in systems if row["standing"] != "other"}
    assert standing == {"recommended": outcome.chosen} | ({"runner-up": outcome.runner_up} if outcome.runner_up else {})
    text = f"{advice.title} {advice.text}".replace("\N{NO-BREAK SPACE}", " ").replace("\N{MINUS SIGN}", "-")
    for words in outcome.said:
        assert words in text, text
    assert "None" not in text and "  " not in text


def test_costs_are_those_of_all_that_stands_behind_a_system(root, tmp_path):
    study = study_of(root, None)
    changed = {
        ("full_hard", "training_time"): 40.0,
        ("half", "encoding_rate"): 27.0,
        ("full_hard", "encoding_rate"): 54.0,
    }
    table, indexes = costs(study, tmp_path, changed)
    found = Costs(study.made_of, table, PASSAGES, indexes, dict.fromkeys(study.choosing, "full_hard"))
    base, tuned, half = found.of("base"), found.of("full_hard"), found.of("half")
    assert (base.training, base.passages, base.setup, base.query, base.vectors) == (0, 0, 0, 6.0, 4.0)
    assert (tuned.training, tuned.passages, tuned.setup) == (40.0, PASSAGES, 90.0)
    # The mix is encoded, and what it is mixed of is trained; that one need not be encoded.
    assert (half.training, half.passages, half.setup, half.query) == (40.0, PASSAGES, 140.0, 6.0)
    fused, best = found.of("bm25_base"), found.of("bm25_best")
    assert (fused.training, fused.passages, fused.setup, fused.query, fused.vectors) == (0, 0, 0, 9.0, 4.0)
    assert (best.training, best.passages, best.setup, best.query, best.vectors) == (40.0, PASSAGES, 90.0, 9.0, 4.0)
    assert found.of("other").training == 0 and found.of("other").passages == PASSAGES
    assert found.of("reranked").query == 36.0 and found.of("bm25").vectors == 0


def test_the_front_holds_what_nothing_is_as_good_as(root, tmp_path):
    found = {"full_hard": LARGE, "lora_hard": GAIN, "bm25_base": GAIN, "half": LOSS}
    outcome = Outcome("bm25_base", "full_hard", found)
    systems, _ = recommended(outcome, root, tmp_path)
    front = {row["variant"] for row in systems if row["front"]}
    # BM25 harms here, and is faster than base: so it is on the front.
    assert front == {"base", "bm25", "bm25_base", "full_hard"}
