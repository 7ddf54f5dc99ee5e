"""Durations worked out by hand, and the page that a user reads."""

import re
from dataclasses import replace

import pytest

from backfire.planning.downloads import files_to_fetch, home_stages, packed_bytes, wanted_from
from backfire.planning.facts import Expected, Facts, collection_facts
from backfire.planning.hours import durations
from backfire.planning.jobs import Jobs, count_jobs, planned
from backfire.planning.page import Plan, page, span
from backfire.planning.probe import Rates
from backfire.planning.room import Demand, FileSystem
from backfire.planning.sizes import stages
from backfire.study.study import Study

RATES = Rates(
    device="CPU",
    threads=2,
    dimensions=384,
    tokens_per_second=10_000.0,
    query_tokens_per_second=8_000.0,
    step={
        **{"full_bm25": 2.0, "full_hard": 2.0, "lora_bm25": 1.0, "lora_hard": 1.0},
        **{"paper_full_1m": 60.0, "paper_full_hard": 60.0, "paper_lora_1m": 20.0, "paper_lora_hard": 20.0},
    },
    seconds_per_pair=1e-9,
    seconds_per_merge=1e-4,
    written_per_second=1e8,
)


def wanted_of(study):
    """What the rules say that the collections of the paper's study take from ir_datasets."""
    block = {
        name: {
            "corpus": each.corpus,
            "needs": {each.corpus: ["docs"], **{source: ["queries", "qrels"] for source in each.splits.values()}},
            "texts": ["default"],
        }
        for name, each in study.collections.items()
    }
    block["msmarco"]["needs"] |= {"msmarco-passage/train/triples-small": ["docpairs"]}
    return wanted_from(block)


@pytest.fixture
def msmarco(study_of, tmp_path, monkeypatch):
    """The plan of the paper's study on a machine that has nothing yet, at rates that are easy to reckon with."""
    for name in ("IR_DATASETS_HOME", "IR_DATASETS_TMP"):
        monkeypatch.setenv(name, str(tmp_path / name))
    study = study_of("studies/msmarco.yaml")
    wanted = wanted_of(study)
    files = files_to_fetch(wanted)
    facts = {
        name: collection_facts(each, tmp_path / name, packed_bytes(wanted[name]))
        for name, each in study.collections.items()
    }
    expected, listed = Expected(study, facts), jobs_of(study)
    sizes = [*home_stages(wanted, facts, files), *stages(expected, listed, 384, 91_000_000)]
    systems = [FileSystem({"work": "/scratch", "ir_datasets": "/scratch/ir", "tmp": "/scratch/tmp"}, 10**12)]
    demands = [Demand(stage, 0) for stage in sizes]
    times = durations(expected, RATES, listed, sizes)
    return Plan(expected, files, demands, systems, count_jobs(listed), RATES, times, 91_000_000, gpus=0)


def jobs_of(study):
    """What the rules make of a study as far as it takes long, worked out by hand for studies of one seed."""

    def jobs(rule, wildcards, count=1):
        return Jobs(rule, rule, wildcards, count, count)

    listed = [jobs("all", {}), *(jobs("train_variant", {"variant": name}) for name in study.trained)]
    for name in study.collections:
        for variant, _ in study.encoding(name):
            here = {"variant": variant, "collection": name}
            listed += [jobs(rule, here, study.shards_of(name)) for rule in ("encode_corpus", "index_shard")]
    for name, split in study.evaluations:
        for variant, _ in study.embedded_runs:
            here = {"variant": variant, "collection": name, "split": split}
            listed += [jobs(rule, here) for rule in ("encode_queries", "rank")]
    depths = {each.depth for each in study.triples.values() if getattr(each, "negatives", None) == "hard"}
    listed += [jobs("mine_hard", {"depth": str(depth)}, study.parts) for depth in depths]
    here = {"variant": "base", "collection": study.train_on, "split": "train"}
    return [*listed, jobs("encode_queries", here)] if study.trained else listed


def seconds(study, facts, rates=RATES, more=()):
    found = durations(Expected(study, facts), rates, [*jobs_of(study), *more], [])
    return {each.stage: each.seconds for each in found}


def test_durations_by_hand(study_of):
    triples = {name: {"size": 3200} for name in ("bm25", "hard")}
    study = study_of(
        {"encoding": {"shards": 4, "max_length": 64}, "triples": triples, "variants": {"paper_hard": None}}
    )
    facts = {"pydocs": Facts(100_000, 460.0, 5.0, {"train": 1000, "dev": 10, "test": 300, "unseen": 200}, {})}
    found = seconds(study, facts)
    # 102 tokens a passage, cut at 64; 500 queries of 10 tokens, 18 with padding, and base's 1,000 for training.
    assert found["encode"] == pytest.approx(5 * 100_000 * 64 / 10_000 + (5 * 500 + 1000) * 18 / 8_000)
    # 100 steps; 300 pool passages of 110 tokens, cut at 96, and 100 queries, at the start, every 8 steps, at the end.
    watched = 14 * (300 * 96 + 100 * 18) / 10_000
    assert found["train"] == pytest.approx(2 * 100 * 2.0 + 2 * 100 * 1.0 + 4 * watched)
    assert found["mine hard negatives"] == pytest.approx(1000 * (100_000 * 1e-9 + 4 * 1e-4))
    assert found["rank"] == pytest.approx(5 * 500 * (100_000 * 1e-9 + 4 * 1e-4))
    assert "other protocols" not in found
    # A fifth of the triples is encoded at the start and after the one epoch, and 80 steps are taken instead of 100.
    apart = study_of(
        {
            "triples": triples,
            "variants": {name: None for name in ("paper_hard", "full_bm25", "lora_bm25", "lora_hard")},
        },
        {"variants": {"full_hard": {"keep": "best", "held_out": {"share": 0.2}}}},
    )
    found = seconds(apart, facts)
    assert "score examples" not in found
    looks = 2 * 640 * (18 + 2 * 96) / 10_000
    assert found["train"] == pytest.approx(80 * 2.0 + 12 * (300 * 96 + 100 * 18) / 10_000 + looks)


@pytest.mark.parametrize(("kind", "tokens"), [("cross-encoder", 7 * 120), ("bi-encoder", 18 + 7 * 96)])
def test_examples_that_a_teacher_scores_take_their_time_once_for_each_seed(study_of, kind, tokens):
    teacher = {"model": "a/teacher", "kind": kind, "max_length": 96 if kind == "bi-encoder" else None}
    hard = {"size": 3200, "negatives_per_query": 6, "teacher": teacher}
    study = study_of({"seeds": [0, 1], "triples": {"hard": hard}})
    facts = {"pydocs": Facts(100_000, 460.0, 5.0, {"train": 1000, "dev": 10, "test": 300, "unseen": 200}, {})}
    steps = {"paper_hard": 1.0} | RATES.step
    rates = Rates(**{**vars(RATES), "step": steps})
    listed = [Jobs("score_teacher", "score_teacher", {"triples": "hard"}, 2, 2)]
    (scored,) = (
        each for each in durations(Expected(study, facts), rates, listed, []) if each.stage == "score examples"
    )
    assert scored.seconds == pytest.approx(2 * 3200 * tokens / 10_000) and scored.on_gpu


def test_the_page_of_the_papers_study(msmarco):
    text = page(msmarco)
    # As published: triples 7.93 GB, collection and queries 1.06 GB.
    assert re.search(r"^9\.0 GB to download, \d+ GB of disk, 1,332 jobs, about .* on this machine$", text, re.MULTILINE)
    assert re.search(r"^ +7\.9 GB \* https://.*/triples\.train\.small\.tar\.gz$", text, re.MULTILINE)
    assert re.search(r"^ +1\.1 GB   https://.*/collectionandqueries\.tar\.gz$", text, re.MULTILINE)
    assert re.search(r"^msmarco +8,841,823 .* 64 +138,153$", text, re.MULTILINE)
    # 9 models x 8,908,277 passages x 1,536 bytes.
    assert re.search(r"^  indexes +123 GB +0 B +123 GB  working folder$", text, re.MULTILINE)
    assert f"{msmarco.jobs['encode_corpus']} encode_corpus" in text
    assert "full_bm25, full_hard 2.0 s/step; lora_bm25, lora_hard 1.0 s/step" in text
    assert "One more variant or seed: " in text
    assert "Shards change no total: 64 cut msmarco into jobs of " in text
    assert "msmarco: 359 bytes a passage, 3 times the download." in text
    assert max(len(line) for line in text.splitlines() if "https://" not in line) <= 100


def test_what_is_unknown_is_left_out_of_the_sums_and_said(msmarco):
    facts = msmarco.facts | {"fiqa": Facts(None, 500.0, 8.0, {"test": None}, {}, assumed=["the number is unknown"])}
    expected = Expected(msmarco.study, facts)
    times = durations(expected, RATES, jobs_of(msmarco.study), [])
    plan = Plan(**{**vars(msmarco), "expected": expected, "durations": times})
    text = page(plan)
    assert "at least 9.0 GB to download, at least " in text
    assert re.search(r"^fiqa +unknown ", text, re.MULTILINE)
    assert "fiqa: the number is unknown." in text


def test_several_gpus_share_what_they_compute(msmarco):
    shared = Plan(**{**vars(msmarco), "gpus": 4})
    computed = sum(each.seconds for each in msmarco.durations if each.on_gpu)
    assert msmarco.seconds - shared.seconds == pytest.approx(0.75 * computed)
    assert "shared by 4 GPUs" in page(shared)


def test_a_busy_machine_is_said_to_be_one(msmarco):
    assert "busy" not in page(msmarco)
    busy = Plan(**{**vars(msmarco), "rates": replace(RATES, load=4.5)})
    assert "Other work kept this machine busy (4.5 processes for each processor)" in page(busy)


def test_tokens_follow_the_bytes():
    assert Facts(1, 460.0, 1.0, {}, {}).passage_tokens == pytest.approx(102)


def test_padding_is_half_filled_and_cut_texts_have_none(study_of):
    """76 tokens and 500, from bytes, and a query of 10."""
    made = {tokens: Expected(study_of(), {"a": Facts(1, (tokens - 2) * 4.6, 1.0, {}, {})}) for tokens in (76, 500)}
    assert made[76].passage_tokens("a", 256) == pytest.approx(84)
    assert [made[500].passage_tokens("a", limit) for limit in (256, 100)] == [256, 112]
    assert (made[76].query_tokens(256), made[76].query_tokens(8)) == (18, 16)
    assert [made[500].pair_tokens("a", limit) for limit in (None, 256)] == [512, 256]


def test_spans_in_words():
    seconds = (40, 600, 5500, 36_000 * 2, 3600 * 80, 3600 * 24 * 30)
    assert [span(each) for each in seconds] == ["40 s", "10 min", "1.5 h", "20 h", "3.3 days", "30 days"]


def test_what_a_plan_depends_on(study_of):
    study = study_of()
    used = planned(study.config)
    assert sorted(Study(used).runs) == sorted(study.runs)
    free = ({"learning_rate": 0.1}, {"schedule": "cosine"}, {"max_grad_norm": None})
    for change in ({"comparison": {"alpha": 0.01}}, *({"variants": {"full_hard": each}} for each in free)):
        assert planned(study_of(change).config) == used
    for change in ({"variants": {"full_hard": {"batch_size": 7}}}, {"encoding": {"shards": 5}}, {"seeds": [0, 1]}):
        assert planned(study_of(change).config) != used
