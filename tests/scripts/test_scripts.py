"""The scripts, run as the engine runs them, one after another on a small folder and the real model."""

import json

import ir_datasets
import pytest
from ir_datasets.formats import TsvDocPairs
from ir_datasets.util import LocalDownload

from backfire.formats.tables import read_rows
from backfire.formats.trec import read_run

PASSAGES = {
    "sort": "Sort the elements of an array along an axis and return a sorted copy of it.",
    "fft": "Compute the discrete Fourier transform of a signal with the fast algorithm.",
    "svd": "Factor a matrix into singular vectors and singular values.",
    "eig": "Compute the eigenvalues and eigenvectors of a square matrix.",
    "mean": "Compute the arithmetic mean along the specified axis of an array.",
    "join": "Join a sequence of strings into one string, with a separator between them.",
    "split": "Split a string into a list of strings at every occurrence of a separator.",
    "random": "Draw random samples from a uniform distribution over an interval.",
    "plot": "Draw a line through the points of a figure with markers and colours.",
    "read": "Read a table from a file of comma-separated values into memory.",
    "solve": "Solve a linear system of equations for its unknowns.",
    "det": "Compute the determinant of a square matrix from its factors.",
}
QUERIES = {
    "train": {"t1": "sorted copy of an array", "t2": "mean over an axis of an array", "t3": "a string cut into a list"},
    "test": {"q1": "eigenvalues of a matrix", "q2": "uniform random numbers", "q3": "load a csv file into a table"},
}
ANSWERS = {"t1": "sort", "t2": "mean", "t3": "split", "q1": "eig", "q2": "random", "q3": "read"}
ENCODING = {"precision": "auto", "batch_tokens": 512, "label": "test"}
LENGTH = {"max_length": 32}


@pytest.fixture(scope="module")
def run(script, tmp_path_factory):
    """A function that runs a script in a folder; gives the paths it wrote."""
    folder = tmp_path_factory.mktemp("scripts")

    def call(name, inputs=(), outputs=(), cfg=None, **wildcards):
        script(name, folder, inputs, outputs, cfg, **wildcards)
        written = list(outputs.values()) if isinstance(outputs, dict) else list(outputs)
        return [path for paths in written for path in ([paths] if isinstance(paths, str) else paths)]

    call.folder = folder
    return call


@pytest.fixture(scope="module")
def beir(run):
    """A folder in BEIR layout."""
    folder = run.folder / "mine"
    (folder / "qrels").mkdir(parents=True)
    rows = [json.dumps({"_id": name, "title": "", "text": text}) for name, text in PASSAGES.items()]
    (folder / "corpus.jsonl").write_text("\n".join(rows) + "\n")
    rows = [json.dumps({"_id": name, "text": text}) for part in QUERIES.values() for name, text in part.items()]
    (folder / "queries.jsonl").write_text("\n".join(rows) + "\n")
    for split, queries in QUERIES.items():
        rows = [f"{name}\t{ANSWERS[name]}\t1" for name in queries]
        (folder / f"qrels/{split}.tsv").write_text("query-id\tcorpus-id\tscore\n" + "\n".join(rows) + "\n")
    return folder


def test_every_script_runs_in_the_order_of_the_study(run, beir, root):
    f = lambda name: str(run.folder / name)  # noqa: E731
    done = set()

    def step(name, inputs=(), outputs=(), cfg=None, **wildcards):
        written = run(name, inputs, outputs, cfg, **wildcards)
        assert written
        assert all((run.folder / path).exists() for path in written), name
        done.add(name)

    shards = [f("1.parquet"), f("2.parquet")]
    step("download_collection", [], [f("download.json")], {"corpus": str(beir), "needs": {}, "texts": ["default"]})
    corpus = {"corpus": str(beir), "size": None, "drop_empty": False, "text": "default"}
    step("export_corpus", [], {"shards": shards, "manifest": f("corpus.json")}, corpus)
    for split in QUERIES:
        outputs = {
            "queries": f(f"{split}.parquet"),
            "qrels": f(f"{split}-qrels.parquet"),
            "manifest": f(f"{split}.json"),
        }
        cfg = {"corpus": str(beir), "split": split, "drop_empty": False}
        step("export_queries", {"shards": shards}, outputs, cfg)
    step(
        "describe_collection",
        {"corpus": f("corpus.json"), "splits": [f("train.json"), f("test.json")]},
        [f("manifest.json")],
    )
    base = {"name": "sentence-transformers/all-MiniLM-L6-v2", "sha256": None}
    step("prepare_base", [], [f("base")], base)

    def encode(variant):
        embeddings = [f(f"{variant}-{number}.emb") for number in (1, 2)]
        costs = [f(f"cost/{variant}/seed-0/encoding-{number}.json") for number in (1, 2)]
        outputs = {"embeddings": embeddings, "cost": costs}
        step("encode_corpus", {"model": f(variant), "tokens": tokens}, outputs, ENCODING, variant=variant)
        index = {"index": [f(f"{variant}-{number}.faiss") for number in (1, 2)]}
        step("index_shard", {"embeddings": embeddings}, index, {"index": "Flat"})
        for split in QUERIES if variant == "base" else ["test"]:
            inputs = {"model": f(variant), "queries": f(f"{split}.parquet")}
            step(
                "encode_queries",
                inputs,
                {"embeddings": f(f"{variant}-{split}.emb")},
                ENCODING | LENGTH,
                variant=variant,
            )

    tokens = [f("tokens-1.parquet"), f("tokens-2.parquet")]
    step("tokenize_corpus", {"model": f("base"), "corpus": shards}, {"tokens": tokens}, LENGTH)
    encode("base")
    vectors = {
        "queries": f("base-train.emb"),
        "embeddings": [f("base-1.emb"), f("base-2.emb")],
        "indexes": [f("base-1.faiss"), f("base-2.faiss")],
    }
    step("count_terms", shards, [f("terms.parquet")])
    mined = {"terms": f("terms.parquet"), "corpus": shards, "queries": f("train.parquet")}
    step("mine_bm25", mined, [f("bm25-part.parquet")], {"depth": 12, "label": "test"})
    step("mine_hard", vectors, [f("hard-part.parquet")], {"depth": 8, "label": "test"})
    for source in ("bm25", "hard"):
        inputs = {"parts": [f(f"{source}-part.parquet")], "queries": f("train.parquet")}
        cfg = {"depth": 8, "label": "test"}
        step("merge_candidates", inputs, [f(f"{source}.parquet")], cfg)
    for source, candidates in (("hard", [f("hard.parquet")]), ("random", [])):
        inputs = {**vectors, "candidates": candidates, "corpus": shards, "qrels": f("train-qrels.parquet")}
        step("sample_triples", inputs, [f(f"{source}-triples.parquet")], {"source": source, "size": 6, "seed": 0})
    (run.folder / "pairs.tsv").write_text("t1\tsort\tfft\nt2\tmean\tsvd\nother\tmean\tsvd\n")
    pairs = ir_datasets.Dataset(TsvDocPairs(LocalDownload(run.folder / "pairs.tsv")))
    ir_datasets.registry.register("pairs-of-the-scripts", pairs)
    step(
        "sample_published",
        {
            "queries": f("train.parquet"),
            "corpus": shards,
            "query_embeddings": vectors["queries"],
            "embeddings": vectors["embeddings"],
        },
        {"triples": f("published-triples.parquet"), "manifest": f("published-triples.json")},
        {"corpus": "msmarco-passage", "source": "pairs-of-the-scripts", "size": 2, "seed": 0, "label": "test"},
    )
    ranks = read_rows(f("hard-triples.parquet"), "triples")["rank"].to_pylist()
    assert all(1 <= rank <= 8 for rank in ranks), "negatives come from the candidates that were mined"
    settings = {
        "method": "lora", "loss": {"name": "triplet", "margin": 0.2}, "learning_rate": 1e-2, "epochs": 1,
        "batch_size": 3,
        "warmup_ratio": 0.0, "weight_decay": 0.0, "max_grad_norm": 1.0, "max_length": 32, "dropout": None,
        "precision": "auto", "lora": {"rank": 2, "alpha": 4, "dropout": 0.0, "target_modules": ["query"]},
    }  # fmt: skip
    step(
        "train_variant",
        {
            "model": f("base"),
            "triples": f("hard-triples.parquet"),
            "corpus": shards,
            "queries": f("train.parquet"),
            "development_queries": f("test.parquet"),
            "development_qrels": f("test-qrels.parquet"),
        },
        {"model": f("lora"), "dynamics": f("dynamics.parquet"), "cost": f("cost/lora/seed-0/training.json")},
        {
            "settings": settings,
            "dynamics": {"measures": ["RR@10"], "interval": 1, "queries": 3, "pool": 12},
            "base_name": "base",
            "seed": 0,
            "label": "test",
        },
    )
    encode("lora")
    for variant in ("base", "lora"):
        step(
            "rank",
            {
                "queries": f(f"{variant}-test.emb"),
                "embeddings": [f(f"{variant}-1.emb"), f(f"{variant}-2.emb")],
                "indexes": [f(f"{variant}-1.faiss"), f(f"{variant}-2.faiss")],
            },
            {"run": f(f"{variant}.trec")},
            {"depth": 5},
            variant=variant,
            seed="0",
            collection="mine",
            split="test",
        )
        step(
            "measure_run",
            {"runs": [f(f"{variant}.trec")], "qrels": [f("test-qrels.parquet")]},
            {"measures": f(f"{variant}-measures.parquet"), "ties": f(f"{variant}-ties.parquet")},
            {"depth": 5, "evaluations": [["mine", "test"]], "measures": ["RR@10", "AP"], "relevance": [1]},
            variant=variant,
            seed="0",
        )
        step(
            "measure_geometry",
            {
                "shards": [f(f"{variant}-1.emb"), f(f"{variant}-2.emb")],
                "queries": f(f"{variant}-test.emb"),
                "qrels": f("test-qrels.parquet"),
            },
            [f(f"{variant}-geometry.parquet")],
            {"collection": "mine", "sample": 10, "sample_seed": 0, "seed": 0, "variant": variant},
        )
        inputs = {"model": f(variant), "base": f("base"), "queries": f("test.parquet")}
        cfg = {"count": 3, "max_length": 32, "precision": "auto"}
        step("measure_latency", inputs, [f(f"cost/{variant}/seed-0/latency.json")], cfg)
    assert read_run(f("base.trec"))["q1"][0][0] == "eig"
    parts = [f("base-measures.parquet"), f("lora-measures.parquet")]
    bands = [f("base-ties.parquet"), f("lora-ties.parquet")]
    outputs = {"measures": f("measures.parquet"), "ties": f("ties.parquet")}
    step("collect_measures", {"parts": parts, "ties": bands}, outputs)
    assert read_rows(f("ties.parquet"), "ties")["queries"].to_pylist() == [3, 3, 3, 3]
    watched = {"depth": 5, "evaluations": [["mine", "dev"]], "measures": ["RR@10"], "relevance": [1]}
    for variant in ("lora", "other"):
        inputs = {"runs": [f("lora.trec")], "qrels": [f("test-qrels.parquet")]}
        outputs = {"measures": f(f"{variant}-dev.parquet"), "ties": f(f"{variant}-dev-ties.parquet")}
        step("measure_run", inputs, outputs, watched, variant=variant, seed="0")
    choice = {"selections": {"x": {"among": ["lora", "other"], "measure": "RR@10"}}, "watched": ["mine", "dev"]}
    selection = {"selection": f("selection.parquet")}
    step("choose_variants", {"measures": [f("lora-dev.parquet"), f("other-dev.parquet")]}, selection, choice)
    design = {"variants": ["base", "lora"], "measures": ["RR@10", "AP"], "evaluations": [["mine", "test"]]}
    design |= {"primary": ["mine", "test", "RR@10"], "elsewhere": []}
    rules = {"alpha": 0.05, "resamples": 200, "flips": 200, "seed": 0, "power": 0.8, "against": []}
    rules["margins"] = {"default": 0.01}
    inputs = {"measures": f("measures.parquet"), "selection": [f("selection.parquet")]}
    outputs = {"parquet": f("comparison.parquet"), "csv": f("comparison.csv")}
    step("compare_variants", inputs, outputs, {"design": design, "rules": rules})
    outputs = {name: f(f"main.{name}") for name in ("csv", "tex", "text")}
    cfg = {"model": "base model", "primary": design["primary"], "rules": rules}
    step("tabulate", {"comparison": f("comparison.parquet")}, outputs, cfg)
    step(
        "explain_queries",
        {
            "measures": f("measures.parquet"),
            "runs": [f("base.trec"), f("lora.trec")],
            "qrels": f("test-qrels.parquet"),
            "queries": f("test.parquet"),
            "corpus": shards,
        },
        {"moved": f("moved.parquet"), "strata": f("strata.parquet")},
        {"alpha": 0.05, "resamples": 200, "seed": 0, "depth": 5, "models": [["base", 0], ["lora", 0]]}
        | {"primary": ["mine", "test", "RR@10"], "relevant_from": 1},
    )
    own = {"text": "default", "max_length": 32, "precision": "auto"}
    cfg = {"alpha": 0.05, "resamples": 200, "seed": 0, "choices": [], "own": own, "place": ["mine", "test"]}
    step(
        "compare_protocols",
        {"run": [f("base.trec")], "qrels": [f("test-qrels.parquet")], "choices": []},
        {"parquet": f("protocol.parquet"), "csv": f("protocol.csv")},
        {**cfg, "measures": ["RR@10", "AP"], "relevant_from": 1, "depth": 5},
    )
    step("collect_geometry", [f("base-geometry.parquet"), f("lora-geometry.parquet")], [f("geometry.parquet")])
    costs = sorted(str(path) for path in (run.folder / "cost").rglob("*.json"))
    step("collect_cost", costs, [f("cost.parquet")], {"runs": [["base", 0], ["lora", 0]]})
    mapped = {"models": [["base", 0], ["lora", 0]], "neighbors": 3, "passages": 12, "sampled_queries": 3}
    step(
        "project_embeddings",
        {
            "shards": [f("base-1.emb"), f("lora-1.emb"), f("base-2.emb"), f("lora-2.emb")],
            "queries": [f("base-test.emb"), f("lora-test.emb")],
        },
        [f("projection.parquet")],
        {**mapped, "min_dist": 0.1, "seed": 0},
    )
    names = {"variants": ["base", "lora"]}
    figure = lambda name: {"svg": f(f"{name}.svg"), "png": f(f"{name}.png")}  # noqa: E731
    dynamics = [f("dynamics.parquet")]
    step("plot_dynamics", {"tables": dynamics}, figure("dynamics"), {**names, "runs": [["lora", 0]]})
    step("plot_projection", {"table": f("projection.parquet")}, figure("projection"), names)
    cfg = {**names, "alpha": 0.05, "primary": ["mine", "test", "RR@10"]}
    step("plot_effects", {"comparison": f("comparison.parquet")}, figure("effects"), cfg)
    cfg = {"models": [["base", 0], ["lora", 0]], "primary": ["mine", "test", "RR@10"]}
    step("plot_queries", {"measures": f("measures.parquet")}, figure("queries"), cfg)
    step("plot_cost", {"table": f("cost.parquet")}, figure("cost"), names)
    scripts = {path.stem for path in (root / "workflow/scripts").glob("*.py")}
    # They take the whole configuration; the workflow's tests run them.
    assert scripts - done == {"plan_download", "plan_study", "write_report"}


def test_a_script_that_fails_says_why_and_leaves_nothing(run, beir, capsys):
    (beir / "corpus.jsonl").write_text('{"_id": "a", "text": "one passage"}\n{"_id": "a", "text": "another"}\n')
    outputs = {"shards": [str(run.folder / "x.parquet")], "manifest": str(run.folder / "x.json")}
    with pytest.raises(SystemExit) as stopped:
        run("export_corpus", [], outputs, {"corpus": str(beir), "size": None, "drop_empty": False, "text": "default"})
    assert stopped.value.code == 1
    message = capsys.readouterr().err
    assert "'a'" in message
    assert "Hint: " in message
    assert "Traceback" not in message
    assert "Traceback" in (run.folder / "logs/export_corpus.log").read_text()
    assert not (run.folder / "x.parquet").exists()
    assert not (run.folder / "x.json").exists()
