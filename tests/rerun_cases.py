"""What may change in the tiny study, and the jobs that then run again: rows of docs/reruns.md, down to wildcards."""

from dataclasses import dataclass, field
from itertools import product

# Two shards; one split to train on and one to watch, neither of which is evaluated.
SHARDS, SPLITS, QUERY_SETS = (1, 2), ("test", "unseen"), ("train", "dev", "test", "unseen")
TRAINED = ("full_bm25", "lora_hard")
MODELS = ("base", *TRAINED)


def each(rules, *wildcards):
    """Jobs of each rule with every combination of wildcards."""
    return [" ".join(map(str, job)) for job in product(rules.split(), *wildcards)]


def mined(source, parts=SHARDS):
    return [*each(f"mine_{source}", parts, [len(parts)]), f"merge_candidates {source}"]


def ranked(model, *splits):
    return each("encode_queries rank", [model], splits)


def evaluated(model, shards=SHARDS):
    """Jobs of one model, its training left out."""
    return [
        *each("encode_corpus index_shard", [model], shards),
        *ranked(model, *SPLITS),
        *each("measure_run measure_geometry", [model]),
    ]


def trained(*models):
    return [job for model in models for job in [f"train_variant {model}", *evaluated(model)]]


def rungs(*models):
    """Jobs of variants that are made for a ladder alone, which have no geometry."""
    return [job for model in models for job in trained(model) if not job.startswith("measure_geometry")]


OWN_IDS = "rank_without_own_ids base test"


def protocol(shards=SHARDS, choice="max_length-32 base"):
    return [
        OWN_IDS,
        *each("encode_corpus_of_choice index_shard_of_choice", [choice], shards),
        *each("encode_queries_of_choice rank_of_choice", [choice], ["test"]),
        "compare_protocols",
    ]


JUDGED = "judge_exchanges"
REPORT = each("write_report check_results")
RECOMMENDED = each("recommend plot_recommendation")
COMPARISON = [*each("compare_variants plot_effects tabulate"), *RECOMMENDED, *REPORT]
MEASURED = [*COMPARISON, *each("collect_measures explain_queries plot_queries")]
MAPS = each("project_embeddings plot_projection")
# What shows every variant in its colour.
DRAWN = each("plot_projection plot_cost plot_dynamics")
GATHERING = [*MEASURED, *MAPS, *each("measure_latency collect_cost plot_cost collect_geometry plot_dynamics")]
EXPORTS = [*each("export_corpus describe_collection"), *each("export_queries", QUERY_SETS)]
EXAMINED = "examine_triples"
FORECAST, SAID = each("look_ahead forecast_study"), ["forecast_study"]
SAMPLES = [*each("sample_triples", ("bm25", "hard")), EXAMINED]
MEASURE_RUNS = each("measure_run", MODELS)


def tokenized(shards=SHARDS):
    return each("tokenize_corpus", ["base default"], (32, 64), shards)


def shared(shards=SHARDS):
    """What a study needs once, however many variants and seeds it has; triples come once for each seed."""
    return [
        "prepare_base",
        "settle_arithmetic",
        *EXPORTS,
        *tokenized(shards),
        "count_terms",
        *mined("bm25", shards),
        *mined("hard", shards),
        "encode_queries base train",
        *evaluated("base", shards),
        *protocol(shards),
        *FORECAST,
        *GATHERING,
    ]


def everything(shards=SHARDS):
    models = [job for model in TRAINED for job in [f"train_variant {model}", *evaluated(model, shards)]]
    return [*shared(shards), *SAMPLES, *models]


def without(jobs, *left_out):
    assert set(left_out) <= set(jobs)
    return [job for job in jobs if job not in left_out]


WITHOUT_TEXT = without(everything(), *EXPORTS, "count_terms", *mined("bm25"))
WITHOUT_BASE = without(WITHOUT_TEXT, "prepare_base")
SEARCH = [
    *each("rank", ("base", "full_bm25"), SPLITS),
    *MEASURE_RUNS,
    *mined("hard"),
    "sample_triples hard",
    EXAMINED,
    *without(trained("lora_hard"), "measure_run lora_hard"),
    *protocol(),
    *FORECAST,
    *GATHERING,
]


@dataclass(frozen=True)
class Case:
    """A row of the document, what is changed in the finished study, and the jobs that then run."""

    row: str
    jobs: list[str]
    settings: dict = field(default_factory=dict)
    library: str | None = None
    edits: dict[str, tuple[str, str]] = field(default_factory=dict)
    package: str | None = None
    arguments: tuple[str, ...] = ()


def setting(row, jobs, **settings):
    return Case(row, jobs, settings)


def code(module, jobs, row=None):
    return Case(row or f"`{module}`", jobs, library=module)


def tiny_collection(**settings):
    return {"collections": {"tiny": settings}}


BLOCK = {"method": "full", "triples": "hard", "batch_size": 8, "max_length": 32}
HELD = {"name": "weighted", "terms": [{"name": "gist"}, {"name": "anchor", "weight": 0.1}]}
CANDIDATES = {"method": {"among": list(TRAINED)}}
SEEDED = [f"{variant} seed-1" for variant in TRAINED]
MORE = ("--set-resources", "rank:mem_mb=9000", "train_variant:runtime=900", "encode_corpus:gpu=1")

CASES = [
    setting(
        "a hyperparameter of a variant",
        [*FORECAST, *trained("lora_hard"), *GATHERING],
        variants={"lora_hard": {"learning_rate": 0.002}},
    ),
    setting("a variant more", [*FORECAST, *trained("full_more"), *GATHERING], variants={"full_more": BLOCK}),
    setting(
        "a variant more whose objective takes the base's vectors (`gist` with `guide: base`, `anchor`)",
        [*FORECAST, *trained("full_held"), *GATHERING],
        variants={"full_held": BLOCK | {"loss": HELD}},
    ),
    setting(
        "a variant more of queries alone (`freeze: passages`)",
        [
            *FORECAST,
            "train_variant asking",
            *ranked("asking", *SPLITS),
            *each("measure_run measure_geometry", ["asking"]),
            *GATHERING,
        ],
        variants={"asking": BLOCK | {"freeze": "passages"}},
    ),
    setting(
        "a teacher, and a variant more whose objective follows it",
        [
            *FORECAST,
            "prepare_teacher hard",
            "score_teacher hard",
            EXAMINED,
            JUDGED,
            *trained("full_taught"),
            *GATHERING,
        ],
        triples={"hard": {"teacher": {"model": "cross-encoder/ms-marco-MiniLM-L6-v2"}}},
        variants={"full_taught": BLOCK | {"loss": {"name": "margin_mse"}}},
    ),
    setting(
        "a variant more that is another model, or base with other prompts",
        [
            *FORECAST,
            "prepare_model asked",
            *each("tokenize_corpus", ["asked default"], [64], SHARDS),
            *evaluated("asked"),
            *GATHERING,
        ],
        variants={"asked": {"method": "none", "prompts": {"query": "query: "}}},
    ),
    setting(
        "an average of variants more",
        [*SAID, "mix_weights half", *evaluated("half"), *GATHERING],
        variants={"half": {"method": "mix", "of": {"base": 0.5, "full_bm25": 0.5}}},
    ),
    setting(
        "BM25 as a variant more",
        [
            *SAID,
            *each("count_words collect_cost"),
            *each("rank_bm25", ["bm25"], SPLITS),
            "measure_run bm25",
            *MEASURED,
            *DRAWN,
        ],
        variants={"bm25": {"method": "bm25"}},
    ),
    setting(
        "a fusion more",
        [*SAID, *each("fuse_runs", ["both"], SPLITS), "measure_run both", *MEASURED, *DRAWN],
        variants={"both": {"method": "fuse", "of": ["base", "full_bm25"]}},
    ),
    setting(
        "a reranking more",
        [
            *SAID,
            "prepare_cross_encoder again",
            *each("rerank_run", ["again"], SPLITS),
            *each("collect_cost"),
            "measure_run again",
            JUDGED,
            *MEASURED,
            *DRAWN,
        ],
        variants={"again": {"method": "rerank", "of": "base", "model": "cross-encoder/ms-marco-MiniLM-L6-v2"}},
    ),
    setting("a variant less", [*FORECAST, EXAMINED, *GATHERING], variants={"lora_hard": None}),
    setting(
        "a seed more",
        [
            *SAID,
            *each("sample_triples", ("bm25 seed-1", "hard seed-1")),
            *trained(*SEEDED),
            *without(GATHERING, *MAPS, "measure_latency"),
        ],
        seeds=[0, 1],
    ),
    setting(
        "another number of shards",
        without(everything((1, 2, 3)), "prepare_base", "settle_arithmetic"),
        encoding={"shards": 3},
    ),
    setting(
        "a split more",
        [
            *SAID,
            *each("export_queries", ["extra"]),
            "describe_collection",
            *(job for model in MODELS for job in ranked(model, "extra")),
            *MEASURE_RUNS,
            *MEASURED,
        ],
        # Two splits of one source are refused.
        **tiny_collection(splits={"unseen": None, "extra": "pydocs/unseen"}),
    ),
    setting(
        "a split less",
        [*SAID, "describe_collection", *MEASURE_RUNS, *MEASURED],
        **tiny_collection(splits={"unseen": None}),
    ),
    setting(
        "another source of splits, of the primary one too",
        [
            *SAID,
            *each("export_queries", SPLITS),
            "describe_collection",
            *(job for model in MODELS for job in ranked(model, *SPLITS)),
            *each("measure_run measure_geometry", MODELS),
            *protocol(),
            *without(GATHERING, "plot_dynamics"),
        ],
        **tiny_collection(splits={"test": "pydocs/unseen", "unseen": "pydocs/test"}),
    ),
    setting(
        "a measure more, or less",
        [*SAID, *MEASURE_RUNS, "compare_protocols", *MEASURED],
        measures=["RR@10", "nDCG@10", "R@100", "AP", "P@5"],
    ),
    setting(
        "a measure more, or less",
        [*SAID, *MEASURE_RUNS, "compare_protocols", *MEASURED],
        measures=["RR@10", "nDCG@10", "AP"],
    ),
    setting("the grade that counts", [*SAID, *MEASURE_RUNS, *MEASURED], **tiny_collection(relevance={"unseen": 2})),
    setting(
        "the grade that counts on the primary split",
        [*SAID, *MEASURE_RUNS, *each("measure_geometry", MODELS), "collect_geometry", "compare_protocols", *MEASURED],
        **tiny_collection(relevance={"test": 2}),
    ),
    setting(
        "the grade that counts on the watched split",
        [*SAID, *trained(*TRAINED), *GATHERING],
        **tiny_collection(relevance={"dev": 2}),
    ),
    setting(
        "a filter of negatives",
        [*FORECAST, "sample_triples hard", EXAMINED, *trained("lora_hard"), *GATHERING],
        triples={"hard": {"filter": {"relative_margin": 0.05}}},
    ),
    setting(
        "another number of negatives an example",
        [*FORECAST, "sample_triples hard", EXAMINED, *trained("lora_hard"), *GATHERING],
        triples={"hard": {"negatives_per_query": 2}},
    ),
    setting(
        "the grade of positives (`relevance.train`)",
        [*FORECAST, *SAMPLES, *trained(*TRAINED), *GATHERING],
        **tiny_collection(relevance={"train": 2}),
    ),
    setting(
        "judgments of what is not there (`missing`)",
        [
            *each("export_queries", QUERY_SETS),
            "describe_collection",
            *mined("bm25"),
            *mined("hard"),
            *SAMPLES,
            "encode_queries base train",
            *ranked("base", *SPLITS),
            *each("measure_run measure_geometry", ["base"]),
            *trained(*TRAINED),
            *protocol(),
            *FORECAST,
            *GATHERING,
        ],
        **tiny_collection(missing="drop"),
    ),
    setting(
        "the level of the tests",
        [*SAID, *COMPARISON, EXAMINED, "explain_queries", "compare_protocols"],
        comparison={"alpha": 0.01},
    ),
    setting("a margin, or a reference", [*SAID, *COMPARISON], comparison={"margins": {"RR@10": 0.02}}),
    setting("a margin, or a reference", [*SAID, *COMPARISON], comparison={"against": ["full_bm25"]}),
    setting("which variants are alternatives", [*SAID, *COMPARISON], alternatives=["lora_hard"]),
    setting("the time that a query may take", [*SAID, *RECOMMENDED, *REPORT], recommendation={"query_time": 10}),
    setting(
        "a choice among variants",
        [
            *(job for variant in TRAINED for job in ranked(variant, "dev")),
            *each("measure_candidate", TRAINED),
            "choose_variants",
            *COMPARISON,
        ],
        selections=CANDIDATES,
    ),
    setting(
        "another protocol to try",
        [*without(protocol(choice="precision-fp32 base"), OWN_IDS), *REPORT],
        protocol={"precisions": ["fp32"]},
    ),
    setting("no protocol to try", [*REPORT], protocol=None),
    setting(
        "a ladder between two variants",
        [*rungs("full_bm25--adapters", "full_bm25--negatives"), *each("attribute_ladder plot_ladder"), *REPORT],
        ladder={
            "from": "full_bm25",
            "to": "lora_hard",
            "factors": {
                "adapters": ["method", "lora", "learning_rate", "keep", "held_out"],
                "negatives": ["triples"],
            },
        },
    ),
    setting("the layout of the maps", [*MAPS, *REPORT], projection={"min_dist": 0.5}),
    code("datasets/export.py", without(everything(), "prepare_base", "settle_arithmetic")),
    *(
        code(f"encoders/{module}.py", WITHOUT_TEXT, "`folders.py`, `tokens.py`, `encoder.py`, `bert.py` in `encoders/`")
        for module in ("folders", "tokens", "encoder", "bert")
    ),
    code(
        "retrieval/lexical.py",
        [*FORECAST, "count_terms", *mined("bm25"), "sample_triples bm25", EXAMINED, *trained("full_bm25"), *GATHERING],
    ),
    code(
        "negatives/hard.py",
        [*FORECAST, *mined("hard"), "sample_triples hard", EXAMINED, *trained("lora_hard"), *GATHERING],
    ),
    code("negatives/triples.py", [*FORECAST, *SAMPLES, *trained(*TRAINED), *GATHERING]),
    code("training/loop.py", [*trained(*TRAINED), *GATHERING]),
    code(
        "training/objectives/triplet.py",
        [*FORECAST, *trained(*TRAINED), *GATHERING],
        "an objective, in `training/objectives/`",
    ),
    code("training/objectives/multiple_negatives_ranking.py", [], "an objective that no variant of the study uses"),
    *(
        code(f"training/objectives/{name}.py", [], "an objective that no variant of the study uses")
        for name in ("library", "gist", "anchor", "weighted")
    ),
    code("training/mixing.py", [], "`training/mixing.py`"),
    code("encoders/peft_adapters.py", [], "`encoders/peft_adapters.py`"),
    code("retrieval/index.py", [*SEARCH, *each("index_shard", ("base", "full_bm25"), SHARDS)]),
    code("retrieval/search.py", SEARCH, "`search.py`, `products.py` in `retrieval/`"),
    code("retrieval/products.py", SEARCH, "`search.py`, `products.py` in `retrieval/`"),
    code("evaluation/measures.py", [*SAID, *trained(*TRAINED), "measure_run base", "compare_protocols", *GATHERING]),
    code("evaluation/perquery.py", [*COMPARISON, "explain_queries", "plot_queries"]),
    *(
        code(module, COMPARISON, "`comparison.py`, `verdict.py` in `evaluation/`")
        for module in ("evaluation/comparison.py", "evaluation/verdict.py")
    ),
    code("evaluation/significance/power.py", [*SAID, *COMPARISON]),
    code("evaluation/protocol.py", ["compare_protocols", *REPORT]),
    code("explaining/queries/strata.py", ["explain_queries", *REPORT]),
    code("explaining/queries/paired.py", ["explain_queries", "plot_queries", *REPORT]),
    code("explaining/geometry.py", [*each("measure_geometry", MODELS), "collect_geometry", *REPORT]),
    code("explaining/forensics.py", [*SAID, EXAMINED, *REPORT]),
    code("explaining/projection.py", [*MAPS, *REPORT]),
    code("explaining/latency.py", [*each("measure_latency collect_cost plot_cost"), *RECOMMENDED, *REPORT]),
    code("explaining/cost.py", [*each("collect_cost plot_cost"), *RECOMMENDED, *REPORT]),
    code(
        "charts/style.py",
        [
            *each("plot_cost plot_dynamics plot_effects plot_projection plot_queries plot_recommendation"),
            *REPORT,
        ],
    ),
    code("charts/cost.py", ["plot_cost", *REPORT]),
    code("report/paper.py", ["tabulate", *REPORT]),
    code("report/page.py", [*REPORT]),
    Case(
        "the style sheet, the template or a caption of the report",
        [*REPORT],
        edits={
            "workflow/report/style.css": ("{", "{ /* edited */"),
            "workflow/report/effects.rst": ("How far", "How very far"),
        },
    ),
    Case(
        "a comment",
        [],
        edits={
            "workflow/lib/backfire/encoders/tokens.py": ("PADDING = 16", "# one\nPADDING = 16  # and one behind"),
            "workflow/scripts/train_variant.py": ("from backfire", "# a comment\nfrom backfire"),
            "workflow/rules/training.smk": ("rule train_variant", "# a comment\nrule train_variant"),
        },
    ),
    Case(
        "a docstring",
        [],
        edits={
            "workflow/lib/backfire/evaluation/measures.py": ('"""', '"""Another docstring.\n\n'),
            "workflow/scripts/rank.py": ('"""', '"""Another docstring.\n\n'),
            "workflow/rules/ranking.smk": ('    """', '    """Another docstring. '),
        },
    ),
    Case(
        "a test, or prose",
        [],
        edits={
            "tests/workflow/test_reruns.py": ("import os", "import os  # a test"),
            "README.md": ("# ", "# A new title: "),
        },
    ),
    Case("what a job asks a cluster for", [], arguments=(*MORE, "--set-threads", "rank=3")),
    Case("what a job asks a cluster for", [], arguments=("--profile", "slurm")),
    Case("`umap-learn`", [*MAPS, *REPORT], package="umap-learn"),
    Case("`tokenizers`", WITHOUT_TEXT, package="tokenizers"),
    Case("`torch`, in a study of pydocs", everything(), package="torch"),
    Case("`tqdm`", [], package="tqdm"),
]
# Rows that have a test of their own.
