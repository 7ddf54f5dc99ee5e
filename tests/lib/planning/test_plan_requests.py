"""What jobs ask a cluster for, against what single jobs of that size took, and where counts come from."""

import json
import re
from types import SimpleNamespace

import pytest

from backfire.datasets.catalogue import published_count
from backfire.datasets.load import load_corpus
from backfire.formats.atomic import write_json
from backfire.planning import measured, requests
from backfire.planning.counts import ASSUMED, Counts
from backfire.planning.requests import Requests
from backfire.retrieval import candidates

MSMARCO = {"collection": "msmarco", "split": "dev_small"}
# Peak resident memory in MiB of single jobs at the paper's size (docs/scale.md), and what the job is.
MEASURED = {
    "rank": (664, MSMARCO),
    "mine_hard": (1012, {"depth": "200"}),
    "sample_triples": (1540, {"triples": "hard"}),
    "index_shard": (649, {"collection": "msmarco"}),
    "encode_corpus": (714, {"collection": "msmarco"}),
    # Computed there from the texts of a million triples.
    "train_variant": (4400e6 / 2**20, {"variant": "full_bm25"}),
}
# Of the default study's jobs, largest of each rule.
DEFAULT = {
    "rank": (172, {"collection": "pydocs", "split": "test"}),
    "mine_hard": (228, {"depth": "200"}),
    "mine_bm25": (276, {"depth": "1000"}),
    "merge_candidates": (250, {"depth": "1000"}),
    "sample_triples": (206, {"triples": "bm25"}),
    "index_shard": (153, {"collection": "pydocs"}),
    "encode_corpus": (649, {"collection": "pydocs"}),
    "encode_queries": (605, {"collection": "pydocs", "split": "train"}),
    "train_variant": (1990, {"variant": "lora_bm25"}),
    "measure_latency": (622, {}),
    "measure_geometry": (215, {"collection": "pydocs"}),
    "compare_variants": (291, {}),
    "project_embeddings": (601, {}),
}


def asked(study, folder, rule, wildcards, attempt=1, gpu=False):
    return Requests(study, gpu, 8, folder).of(rule, SimpleNamespace(**{"variant": "base"} | wildcards), attempt)


@pytest.mark.parametrize("rule", MEASURED)
def test_the_papers_study_asks_for_more_than_its_jobs_took_and_less_than_four_times(study_of, tmp_path, rule):
    peak, wildcards = MEASURED[rule]
    memory = asked(study_of("studies/msmarco.yaml"), tmp_path, rule, wildcards).mem_mb
    assert peak + measured.ENGINE < memory < 4 * peak + measured.ENGINE


@pytest.mark.parametrize("rule", DEFAULT)
def test_the_default_study_asks_for_more_than_its_jobs_took(study_of, tmp_path, rule):
    peak, wildcards = DEFAULT[rule]
    memory = asked(study_of(), tmp_path, rule, wildcards).mem_mb
    assert peak + measured.ENGINE < memory < 4000


# Peak resident memory in MiB of three steps on 4 triples of 16 tokens, in fp32 on a CPU: (model, full, LoRA).
TRAININGS = [
    (requests.Shape(87, 6, 384), 1130, 735),
    (requests.Shape(418, 12, 768), 3070, 1539),
    (requests.Shape(1279, 24, 1024), 8388, 3748),
]


@pytest.mark.parametrize(("shape", "full", "lora"), TRAININGS)
def test_training_asks_for_all_copies_of_the_weights_that_it_holds(study_of, tmp_path, shape, full, lora):
    steps = {"batch_size": 4, "max_length": 16}
    study = study_of({"variants": {"full_bm25": steps, "lora_bm25": steps}, "triples": {"bm25": {"size": 12}}})
    found = Requests(study, False, 8, tmp_path)
    found._shapes = {"base": shape}
    for variant, peak in (("full_bm25", full), ("lora_bm25", lora)):
        memory = found.of("train_variant", SimpleNamespace(variant=variant)).mem_mb - measured.ENGINE
        assert peak < memory < 1.5 * peak + measured.TORCH


def test_a_retry_asks_for_more_of_both(study_of, tmp_path):
    study = study_of()
    first, third = (asked(study, tmp_path, "train_variant", {"variant": "full_hard"}, attempt) for attempt in (1, 3))
    assert third == (3 * first.mem_mb, 3 * first.runtime)


def test_requests_grow_with_what_the_job_holds(study_of, tmp_path):
    def memory(rule, wildcards, **overlay):
        return asked(study_of("studies/msmarco.yaml", overlay), tmp_path, rule, wildcards).mem_mb

    few, many = ({"encoding": {"shards": shards}} for shards in (16, 256))
    for rule in ("index_shard", "rank", "tokenize_corpus"):
        assert memory(rule, MSMARCO, **few) > memory(rule, MSMARCO, **many)
    assert memory("rank", MSMARCO, ranking={"depth": 5000}) > memory("rank", MSMARCO)
    larger = {"triples": {"bm25": {"size": 4_000_000}}}
    variant = {"variant": "full_bm25"}
    assert memory("train_variant", variant, **larger) > memory("train_variant", variant) + 3000
    # Eleven texts of an example in place of three.
    several = {"triples": {"hard": {"negatives_per_query": 9}}}
    for rule, wildcards in (("train_variant", {"variant": "full_hard"}), ("sample_triples", {"triples": "hard"})):
        assert memory(rule, wildcards, **several) > memory(rule, wildcards) + 1000
    # Kept weights are a copy more.
    best = {"variants": {"full_bm25": {"keep": "best", "held_out": {"share": 0.2}}}}
    assert memory("train_variant", variant, **best) > memory("train_variant", variant) + 80
    # The base's vectors of three texts a triple.
    loss = {"name": "weighted", "terms": [{"name": "triplet"}, {"name": "anchor"}]}
    plain, held = (
        {"variants": {"held": {"method": "full", "triples": "bm25"} | more}} for more in ({}, {"loss": loss})
    )
    least = memory("train_variant", {"variant": "held"}, **plain) + 3_000_000 * 384 * 4 / 2**20
    assert memory("train_variant", {"variant": "held"}, **held) > least
    # Of a base that is not here, as many as BERT-base.
    assert memory("train_variant", variant, base_model="some/model") > memory("train_variant", variant) + 1500


@pytest.mark.parametrize("rule", ["tokenize_corpus", "encode_corpus", "index_shard"])
def test_shards_of_one_job_take_their_time_one_after_another_and_the_memory_of_one(study_of, tmp_path, rule):
    def request(step, **more):
        encoding = {"encoding": {"shards": 64, "shards_per_job": step}}
        return asked(study_of("studies/msmarco.yaml", encoding), tmp_path, rule, MSMARCO | more)

    one, eight, whole = (request(step) for step in (1, 8, 1000))
    assert one.mem_mb == eight.mem_mb == whole.mem_mb
    # Rounded up to ten minutes.
    beyond = one.runtime - measured.LEAST
    assert 8 * (beyond - 10) <= eight.runtime - measured.LEAST <= 8 * beyond
    assert 64 * (beyond - 10) <= whole.runtime - measured.LEAST <= 64 * beyond
    assert whole.runtime > eight.runtime
    assert request(1, collection="fiqa") == request(8, collection="fiqa")


def test_another_model_asks_for_what_it_is_itself(study_of, tmp_path, base_model):
    """Also what descends from it; one that is not on this machine as much as BERT-base."""
    more = {
        "known": {"method": "none", "model": str(base_model)},
        "large": {"method": "none", "model": "some/model"},
        "half": {"method": "mix", "of": ["large"]},
    }
    study = study_of({"variants": more, "seeds": [0, 1]})
    found = {
        name: asked(study, tmp_path, "encode_corpus", {"collection": "pydocs", "variant": name})
        for name in ("base", "full_hard", *more)
    }
    assert found["base"] == found["full_hard"] == found["known"]
    assert found["large"] == found["half"] and found["large"].mem_mb > found["base"].mem_mb + 500
    without = study_of({})
    timing = [asked(each, tmp_path, "measure_latency", {}) for each in (without, study)]
    assert timing[1].runtime > timing[0].runtime and timing[1].mem_mb > timing[0].mem_mb + 500
    mixing = asked(study, tmp_path, "mix_weights", {"variant": "half"})
    assert mixing.mem_mb > 1.25 * 4 * requests.ASSUMED_MODEL.mib
    # What searches for all of them is asked for as the one with the longest vectors needs.
    assert (
        asked(study, tmp_path, "rank", {"collection": "pydocs", "split": "test"}).mem_mb
        >= asked(without, tmp_path, "rank", {"collection": "pydocs", "split": "test"}).mem_mb
    )


def test_a_gpu_takes_memory_of_the_host_and_less_time(study_of, tmp_path):
    study = study_of("studies/msmarco.yaml")
    without, with_gpu = (asked(study, tmp_path, "encode_corpus", MSMARCO, gpu=gpu) for gpu in (False, True))
    assert with_gpu.mem_mb > without.mem_mb + 2000
    assert with_gpu.runtime < without.runtime
    part = {"depth": 1000, "part": "1", "parts": "8"}
    without, with_gpu = (asked(study, tmp_path, "mine_hard", part, gpu=gpu) for gpu in (False, True))
    assert with_gpu.mem_mb > without.mem_mb + 2000


def test_constants_are_those_of_the_code_that_the_dag_does_not_load():
    from backfire.retrieval import products, reranking
    from backfire.training import steps

    assert steps.HELD_TOKENS["cpu"] == measured.KEPT_TOKENS
    assert measured.HELD == candidates.HELD
    assert measured.RERANKED_QUERIES == reranking.HELD
    assert (measured.QUERY_BLOCK, measured.PASSAGE_BLOCK) == (products.QUERY_BLOCK, products.PASSAGE_BLOCK)


def test_counts_are_those_that_ir_datasets_publishes(study_of, tmp_path):
    found = Counts(study_of("studies/msmarco.yaml"), tmp_path)
    assert found.passages("msmarco") == 8_841_823
    assert found.shard("msmarco") == 138_154
    assert found.queries("msmarco", "dev_small") == 6_980
    # 502,739 have a judged passage; published are judgments.
    assert found.queries("msmarco") == 532_630
    assert found.queries("scifact") == 0


def test_what_was_counted_goes_before_what_is_expected(study_of, tmp_path):
    study = study_of("studies/msmarco.yaml", {"collections": {"msmarco": {"size": 1_000_000}}})
    found = Counts(study, tmp_path)
    assert (found.passages("msmarco"), found.source("msmarco")) == (1_000_000, 8_841_823)
    assert found.queries("msmarco") == round(532_630 * 1_000_000 / 8_841_823)
    folder = tmp_path / "data/msmarco"
    (folder / "corpus").mkdir(parents=True)
    (folder / "queries").mkdir()
    write_json(folder / "corpus/manifest.json", {"kept": 999_998})
    write_json(folder / "queries/train.json", {"queries": {"kept": 55_001}})
    assert (found.passages("msmarco"), found.queries("msmarco")) == (999_998, 55_001)


def test_a_plan_counts_what_its_source_does_not_tell(study_of, tmp_path):
    study = study_of({"collections": {"pydocs": {"size": None}}})
    found = Counts(study, tmp_path)
    assert found.passages("pydocs") == ASSUMED
    (tmp_path / "results/quickstart").mkdir(parents=True)
    plan = {"collections": {"pydocs": {"passages": 27_003, "queries": {"train": 14_000}}}}
    write_json(tmp_path / "results/quickstart/plan.json", plan)
    assert (found.passages("pydocs"), found.queries("pydocs")) == (27_003, 14_000)


def test_a_folder_is_estimated_from_its_bytes_on_the_long_side(study_of, tmp_path):
    corpus = tmp_path / "corpus"
    (corpus / "qrels").mkdir(parents=True)
    passages = [{"_id": str(n), "title": "", "text": f"passage {n} " + "with words " * 30} for n in range(2000)]
    (corpus / "corpus.jsonl").write_text("".join(json.dumps(each) + "\n" for each in passages))
    (corpus / "queries.jsonl").write_text("".join(json.dumps({"_id": f"q{n}", "text": "w"}) + "\n" for n in range(900)))
    lines = ["query-id\tcorpus-id\tscore", *(f"query{n}\tpassage{n}\t1" for n in range(900))]
    (corpus / "qrels/train.tsv").write_text("\n".join(lines) + "\n")
    block = {"corpus": str(corpus), "train": "train", "splits": {"test": "train", "dev": "train"}}
    study = study_of(
        {
            "collections": {"pydocs": None, "mine": block},
            "train_on": "mine",
            "primary": {"collection": "mine"},
        },
    )
    found = Counts(study, tmp_path)
    assert 2000 <= found.passages("mine") <= 4000
    assert 900 <= found.queries("mine") <= 2000
    assert sum(1 for _ in load_corpus(str(corpus)).docs_iter()) == 2000


def test_published_counts_are_those_that_the_library_itself_tells():
    import ir_datasets

    for source in ("msmarco-passage", "beir/fiqa", "vaswani"):
        assert published_count(source, "docs") == ir_datasets.load(source).metadata()["docs"]["count"]


def test_the_table_of_the_documentation_is_what_is_computed(study_of, root, tmp_path):
    study = study_of("studies/msmarco.yaml")
    wildcards = MSMARCO | {"variant": "full_bm25", "triples": "hard", "depth": "200"}
    special = {name: {"split": "train"} for name in ("export_queries", "encode_queries")}
    special["sample_published"] = {"triples": "bm25"}
    both = [Requests(study, gpu, 8, tmp_path) for gpu in (True, False)]
    rows = []
    foreign = (
        "read_pairs",
        "join_passages",
        "join_queries",
        "take_triples",
        "count_terms",
        "mine_bm25",
        "mix_weights",
        "count_words",
        "rank_bm25",
        "fuse_runs",
        "rerank_run",
        "score_teacher",
        "judge_exchanges",
        "take_run",
        "attribute_ladder",
        "measure_doses",
    )
    for rule in both[0].rules:
        # Not part of this study.
        if rule in foreign:
            continue
        # The largest in memory and in time need not be one job.
        jobs = [{"variant": name} for name in study.trained] if rule == "train_variant" else [special.get(rule, {})]
        asked_for = [
            [value for each in both for value in each.of(rule, SimpleNamespace(**wildcards | job))] for job in jobs
        ]
        cells = [f"{max(values):,}" for values in zip(*asked_for, strict=True)]
        cores = re.search(rf"^rule {rule}:.*?^    threads: (\w+)$", rules_text(root), re.MULTILINE | re.DOTALL)[1]
        rows.append(f"| `{rule}` | {'1' if cores == '1' else '8'} | {' | '.join(cells)} |")
    text = (root / "docs/cluster.md").read_text()
    table = text.split("|---|---:|---:|---:|---:|---:|\n")[1].split("\n\n")[0]
    assert table == "\n".join(rows)


def test_every_submitted_rule_asks_for_what_is_computed_and_names_itself(root):
    text = rules_text(root)
    local = set(
        re.findall(r"^    (\w+),$", "\n".join(re.findall(r"^localrules:\n((?:    \w+,\n)+)", text, re.M)), re.M)
    )
    for rule, body in re.findall(r"^rule (\w+):\n(.*?)(?=^\S|\Z)", text, re.MULTILINE | re.DOTALL):
        found = re.findall(r'=asked\("(\w+)", "(\w+)"\)', body)
        assert found == [(rule, "mem_mb"), (rule, "runtime")] or (rule in local and not found), rule


def rules_text(root):
    return "\n".join(path.read_text() for path in sorted((root / "workflow/rules").glob("*.smk")))
