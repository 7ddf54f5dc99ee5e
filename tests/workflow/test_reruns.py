"""Only what changed runs again: the exact sets of jobs, read off dry runs of the finished tiny study."""

import contextlib
import os

import pytest

from backfire.formats.tables import read_rows

pytestmark = pytest.mark.workflow

CLOSING = [
    "collect_cost",
    "collect_measures",
    "compare_variants",
    "explain_queries",
    "plot_cost",
    "plot_effects",
    "plot_queries",
    "tabulate",
    "write_report",
]


COMPARISON = ["compare_variants", "plot_effects", "tabulate", "write_report"]


def chain(variant):
    """Jobs of one trained variant, its training left out."""
    return [
        *(f"encode_corpus {variant} {shard}" for shard in (1, 2)),
        *(f"index_shard {variant} {shard}" for shard in (1, 2)),
        *(f"encode_queries {variant} {split}" for split in ("test", "unseen")),
        *(f"rank {variant} {split}" for split in ("test", "unseen")),
        f"measure_run {variant}",
        f"measure_geometry {variant}",
        f"measure_latency {variant}",
    ]


AFTER_A_VARIANT = [*CLOSING, "collect_geometry", "project_embeddings", "plot_projection"]


@contextlib.contextmanager
def edited(path, old, new):
    """A file with one text replaced, put back with its times afterwards."""
    before, times = path.read_text(), path.stat()
    assert before.count(old) >= 1, f"{path} does not hold {old!r}"
    try:
        path.write_text(before.replace(old, new, 1))
        yield
    finally:
        path.write_text(before)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def test_a_learning_rate_runs_its_variants_chain_and_what_gathers_it(tiny, overlay):
    planned = tiny.planned(overlays=overlay({"variants": {"lora_hard": {"learning_rate": 0.002}}}))
    expected = ["train_variant lora_hard", *chain("lora_hard"), *AFTER_A_VARIANT, "plot_dynamics"]
    assert planned == sorted(expected)


def test_the_level_of_the_tests_runs_whatever_has_an_interval(tiny, overlay):
    planned = tiny.planned(overlays=overlay({"comparison": {"alpha": 0.01}}))
    assert planned == sorted(["compare_protocols", "explain_queries", *COMPARISON])


def test_the_margin_runs_the_comparison(tiny, overlay):
    assert tiny.planned(overlays=overlay({"comparison": {"margins": {"RR@10": 0.02}}})) == COMPARISON


def test_another_reference_runs_the_comparison(tiny, overlay):
    assert tiny.planned(overlays=overlay({"comparison": {"against": ["full_bm25"]}})) == COMPARISON


CHOICE = {"selections": {"method": {"among": ["full_bm25", "lora_hard"]}}}
SELECTION = "results/tiny/selection.parquet"


def test_a_choice_runs_its_candidates_on_the_watched_split_and_the_comparison(tiny, overlay):
    candidates = [f"measure_candidate {variant}" for variant in ("full_bm25", "lora_hard")]
    ranked = [f"{rule} {variant} dev" for rule in ("encode_queries", "rank") for variant in ("full_bm25", "lora_hard")]
    planned = tiny.planned(overlays=overlay(CHOICE))
    assert planned == sorted([*candidates, *ranked, "choose_variants", *COMPARISON])


def test_nothing_that_is_reported_can_influence_a_choice(tiny, overlay, tmp_path):
    """From nothing, a choice needs no job of a reported split; made, it does not even notice when they change."""
    choice = overlay(CHOICE)
    planned = tiny.elsewhere(tmp_path / "empty").planned(SELECTION, overlays=choice)
    assert "rank full_bm25 dev" in planned and "train_variant lora_hard" in planned
    splits = {job.split()[-1] for job in planned if job.split()[0] in ("export_queries", "encode_queries", "rank")}
    assert splits == {"dev", "train"}
    tiny.succeed(SELECTION, overlays=choice)
    rows = read_rows(tiny.directory / SELECTION, "selection").to_pylist()
    assert {row["split"] for row in rows} == {"dev"} and sum(row["chosen"] for row in rows) == 1
    reported = [
        *tiny.directory.glob("data/tiny/q*/test.parquet"),
        *tiny.directory.glob("data/tiny/q*/unseen.parquet"),
        *tiny.directory.glob("results/tiny/runs/*/*/*/test.trec"),
        *tiny.directory.glob("results/tiny/measures/*/*"),
        tiny.directory / "results/tiny/measures.parquet",
        tiny.directory / "results/tiny/comparison.parquet",
    ]
    assert len(reported) >= 12
    before = {path: (path.read_bytes(), path.stat()) for path in reported}
    try:
        for path in reported:
            path.write_bytes(b"other values")
        assert tiny.planned(SELECTION, overlays=choice) == []
    finally:
        for path, (content, stat) in before.items():
            path.write_bytes(content)
            os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert tiny.planned() == []


def test_another_choice_of_protocol_runs_its_chain_and_no_other(tiny, overlay):
    planned = tiny.planned(overlays=overlay({"protocol": {"precisions": ["fp32"]}}))
    choice = "precision-fp32 base"
    assert planned == sorted(
        [
            *(f"{rule}_of_choice {choice} {shard}" for rule in ("encode_corpus", "index_shard") for shard in (1, 2)),
            *(f"{rule}_of_choice {choice} test" for rule in ("encode_queries", "rank")),
            "compare_protocols",
            "write_report",
        ]
    )


def test_without_a_protocol_nothing_of_it_runs(tiny, overlay):
    assert tiny.planned(overlays=overlay({"protocol": None})) == ["write_report"]


def test_the_layout_of_the_map_runs_the_map(tiny, overlay):
    planned = tiny.planned(overlays=overlay({"projection": {"min_dist": 0.5}}))
    assert planned == ["plot_projection", "project_embeddings", "write_report"]


def test_a_new_variant_leaves_the_others_alone(tiny, overlay):
    block = {"method": "full", "triples": "hard", "batch_size": 8, "max_length": 32}
    planned = tiny.planned(overlays=overlay({"variants": {"full_hard": block}}))
    expected = ["train_variant full_hard", *chain("full_hard"), *AFTER_A_VARIANT, "plot_dynamics"]
    assert planned == sorted(expected)


def test_removing_a_variant_computes_nothing_but_the_gathering(tiny, overlay):
    planned = tiny.planned(overlays=overlay({"variants": {"lora_hard": None}}))
    assert planned == sorted([*AFTER_A_VARIANT, "plot_dynamics"])


BM25_CHAIN = [
    "count_terms",
    *(f"mine_bm25 {part} 2" for part in (1, 2)),
    "merge_candidates bm25",
    "sample_triples bm25",
    "train_variant full_bm25",
    *chain("full_bm25"),
    *AFTER_A_VARIANT,
]


@pytest.mark.parametrize(
    ("module", "anchor", "rules"),
    [
        ("protocol.py", "def compare_protocols(", ["compare_protocols", "write_report"]),
        ("comparison.py", "def compare_variants(", COMPARISON),
        ("significance/power.py", "def power(", COMPARISON),
        ("report/paper.py", "def write_tables(", ["tabulate", "write_report"]),
        ("queries/strata.py", "def strata(", ["explain_queries", "write_report"]),
        ("queries/paired.py", "def read_paired(", ["explain_queries", "plot_queries", "write_report"]),
        ("perquery.py", "def read_store(", [*COMPARISON, "explain_queries", "plot_queries"]),
        ("charts/queries.py", "def plot_queries(", ["plot_queries", "write_report"]),
        ("negatives/bm25.py", "def mine_bm25(", [*BM25_CHAIN, "plot_dynamics"]),
        ("charts/cost.py", "def plot_cost(", ["plot_cost", "write_report"]),
        ("projection.py", "def project_embeddings(", ["plot_projection", "project_embeddings", "write_report"]),
        ("report/page.py", "def write_report(", ["write_report"]),
    ],
)
def test_an_edit_of_the_library_runs_the_rules_that_import_it(tiny, module, anchor, rules):
    addition = f"def _added():\n    return 1\n\n\n{anchor}"
    with edited(tiny.source / "workflow/lib/backfire" / module, anchor, addition):
        assert tiny.planned() == sorted(rules)


@pytest.mark.parametrize(
    ("module", "old", "new", "tokenizes"),
    [
        ("tokens.py", "PADDING = 16", "PADDING = 32", True),
        ("bert.py", "def load_bert(", "def _added():\n    return 1\n\n\ndef load_bert(", False),
    ],
)
def test_an_edit_of_the_encoder_runs_everything_that_encodes_and_what_follows(tiny, module, old, new, tokenizes):
    with edited(tiny.source / "workflow/lib/backfire" / module, old, new):
        planned = {job.split()[0] for job in tiny.planned()}
    assert not planned & {"export_corpus", "export_queries", "describe_collection", "prepare_base", "mine_bm25"}
    assert ("tokenize_corpus" in planned) == tokenizes
    assert {"encode_corpus", "encode_queries", "train_variant", "measure_latency", "rank", "mine_hard"} <= planned
    # Their outputs are gone once they are ranked, and are missed all the same.
    assert {"encode_corpus_of_choice", "encode_queries_of_choice", "rank_of_choice", "compare_protocols"} <= planned


@pytest.mark.parametrize(
    ("path", "old", "new"),
    [
        ("workflow/lib/backfire/tokens.py", "PADDING = 16", "# another comment\nPADDING = 16  # and one behind"),
        ("workflow/lib/backfire/measures.py", '"""', '"""Another docstring.\n\n'),
        ("workflow/scripts/train_variant.py", "from backfire", "# a comment\nfrom backfire"),
        ("tests/workflow/test_reruns.py", "import os", "import os  # a test"),
        ("README.md", "# ", "# A new title: "),
    ],
)
def test_comments_docstrings_tests_and_prose_run_nothing(tiny, path, old, new):
    with edited(tiny.source / path, old, new):
        assert tiny.planned() == []


def test_touching_every_source_runs_nothing(tiny):
    files = [path for path in (tiny.source / "workflow").rglob("*") if path.is_file()]
    times = {path: path.stat() for path in files}
    try:
        for path in files:
            os.utime(path)
        assert [job for job in tiny.planned() if job != "write_report"] == []
        assert tiny.planned() == []
    finally:
        for path, stat in times.items():
            os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def test_what_a_job_asks_a_cluster_for_runs_nothing_again(tiny):
    """Other memory, time, threads and GPUs, as a profile for a cluster gives them to results of a local run."""
    more = ("--set-resources", "rank:mem_mb=9000", "train_variant:runtime=900", "encode_corpus:gpu=1")
    assert tiny.planned(*more, "--set-threads", "rank=3") == []
    assert tiny.planned("--profile", str(tiny.source / "slurm")) == []
