"""The scripts, run as the engine runs them, on the parameters of their rules, small folders and the real model."""

import hashlib
import importlib
import inspect
import json
import re

import ir_datasets
import pytest
import small_models
from ir_datasets.formats import TsvDocPairs
from ir_datasets.util import LocalDownload
from pydantic import ConfigDict, TypeAdapter, ValidationError

from backfire.formats.tables import read_rows, write_rows
from backfire.formats.trec import read_run
from short_passages import PASSAGES

QUERIES = {
    "train": {"t1": "sorted copy of an array", "t2": "mean over an axis of an array", "t3": "a string cut into a list"},
    "dev": {"d1": "lines in a figure", "d2": "put strings together"},
    "test": {"q1": "eigenvalues of a matrix", "q2": "uniform random numbers", "q3": "load a csv file into a table"},
    "unseen": {"u1": "frequencies of a signal", "u2": "unknowns of linear equations"},
}
ANSWERS = {
    **{"t1": "sort", "t2": "mean", "t3": "split", "d1": "plot", "d2": "join"},
    **{"q1": "eig", "q2": "random", "q3": "read", "u1": "fft", "u2": "solve"},
}
FAR = {
    "bread": "Knead flour, water, salt and yeast, and bake the loaf.",
    "tea": "Pour hot water over the leaves and wait three minutes.",
    "soup": "Boil vegetables until they are soft, and season with pepper.",
    "rice": "Rinse the rice, and cook it in twice as much water.",
    "jam": "Cook the fruit with sugar until a drop of it sets.",
}
LOAF, BOILED = "how to bake a loaf", "boil vegetables"
FAR_PAIRS = [(LOAF, "bread", 2), (LOAF, "tea", 1), (BOILED, "soup", 2), (BOILED, "rice", 0), (BOILED, "jam", 0)]
RESULTS = "results/scripts"
WRONG = ("wrong_half", "wrong_all")
TRAINED = ("full_bm25", "full_own", "full_random", "lora_hard", *WRONG)
# Made of those, and of none of them.
DERIVED, TAKEN = ("half", "both", "sorted"), ("asked", "words", "given")
TAUGHT = (*TRAINED, *DERIVED)


def write_folder(folder, passages, queries, answers, grade):
    """A collection in BEIR layout."""
    (folder / "qrels").mkdir(parents=True)
    rows = [json.dumps({"_id": name, "title": "", "text": text}) for name, text in passages.items()]
    (folder / "corpus.jsonl").write_text("\n".join(rows) + "\n")
    rows = [json.dumps({"_id": name, "text": text}) for part in queries.values() for name, text in part.items()]
    (folder / "queries.jsonl").write_text("\n".join(rows) + "\n")
    for split, part in queries.items():
        rows = [f"{name}\t{answers[name]}\t{grade}" for name in part]
        (folder / f"qrels/{split}.tsv").write_text("query-id\tcorpus-id\tscore\n" + "\n".join(rows) + "\n")


@pytest.fixture(scope="module")
def study(planned, run_job, tmp_path_factory):
    """The study `scripts`, run script by script: its folder, and {script: its jobs}."""
    folder = tmp_path_factory.mktemp("scripts")
    write_folder(folder / "mine", PASSAGES, QUERIES, ANSWERS, 1)
    with (folder / "far.jsonl").open("w") as stream:
        for query, passage, grade in FAR_PAIRS:
            stream.write(json.dumps({"question": query, "answer": FAR[passage], "label": grade}) + "\n")
    (folder / "mined.tsv").write_text("t1\tsort\tfft\nt2\tmean\tsvd\nt3\tsplit\tjoin\n")
    far = [hashlib.sha256(text.encode()).hexdigest()[:16] for text in (LOAF, FAR["bread"])]
    for name, query, passage in (("test", "q2", "random"), ("unseen", "u1", "fft"), ("far", *far)):
        (folder / f"{name}.trec").write_text(f"{query} Q0 {passage} 1 2.5 tool\n")
    small_models.cross_encoder(folder / "scorer")
    jobs = {}
    for script, snakemake in planned("tests/studies/scripts.yaml", folder):
        run_job(script, snakemake, folder)
        assert snakemake.output
        assert all((folder / path).exists() for path in snakemake.output), snakemake.rule
        jobs.setdefault(script, []).append(snakemake)
    return folder, jobs


@pytest.fixture(scope="module")
def published(planned, tmp_path_factory):
    """{script: its jobs} of the paper's study, planned and not run."""
    jobs = {}
    for script, snakemake in planned("studies/msmarco.yaml", tmp_path_factory.mktemp("published")):
        jobs.setdefault(script, []).append(snakemake)
    return jobs


# What takes a network or a probe of the machine, or several collections, or prints: by the engine in the workflow's
# tests, on a miniature MS MARCO, on two collections joined, one of them out of the hub's cache, and on the tiny study.
BY_THE_ENGINE = {"check", "plan_download", "plan_study", "fetch_pairs", "join_passages", "join_queries"}
# What a folder has no use for, run below on parameters of the paper's study.
BELOW = {"download_collection", "sample_published"}


def test_every_script_runs_on_the_parameters_of_its_rule(study, root):
    _, jobs = study
    scripts = {path.stem for path in (root / "workflow/scripts").glob("*.py")}
    assert scripts - jobs.keys() == BY_THE_ENGINE | BELOW


def test_rankings_and_triples_are_those_of_the_texts(study):
    folder, _ = study
    assert read_run(folder / RESULTS / "runs/base/seed-0/mine/test.trec")["q1"][0][0] == "eig"
    ranks = read_rows(folder / RESULTS / "triples/hard/seed-0.parquet", "triples")["rank"].to_pylist()
    assert all(1 <= rank <= 8 for rank in ranks), "negatives come from the candidates that were mined"
    own = read_rows(folder / RESULTS / "triples/own/seed-1.parquet", "triples").to_pylist()
    assert [(row["query_id"], row["negative_id"]) for row in own] == [("t1", "fft"), ("t2", "svd"), ("t3", "join")]
    ties = read_rows(folder / RESULTS / "ties.parquet", "ties").to_pylist()
    assert {(row["collection"], row["split"], row["queries"]) for row in ties} == {
        ("mine", "test", 3),
        ("mine", "unseen", 2),
        ("far", "test", 2),
    }


def test_what_is_compared_is_what_the_study_evaluates(study):
    """Each place by what the configuration says of it, whatever form its parameters took on the way."""
    rows = read_rows(study[0] / RESULTS / "comparison.parquet", "comparison").to_pylist()
    places = {(row["collection"], row["split"]) for row in rows}
    assert places == {("mine", "test"), ("mine", "unseen"), ("far", "test")}
    for row in rows:
        compared = row["variant"] != "base"
        elsewhere = (row["collection"], row["split"]) != ("mine", "test")
        taught = row["variant"] in TAUGHT
        assert (row["retention"] is not None) == (taught and elsewhere and row["reference"] == "base"), row
        primary = (row["collection"], row["split"], row["measure"]) == ("mine", "test", "RR@10")
        chosen = {row["variant"] for row in chosen_rows(study)} | {"full_own", "lora_hard", *WRONG, *TAKEN, *DERIVED}
        claims = compared and primary and row["variant"] in chosen
        assert (row["family"] == "claims") == claims, row
    others = {*TRAINED, *TAKEN, *DERIVED} - {"full_bm25"}
    asked = [row for row in rows if row["reference"] == "full_bm25" and row["family"] != "helpers"]
    assert {row["variant"] for row in asked} == others


def chosen_rows(study):
    rows = read_rows(study[0] / RESULTS / "selection.parquet", "selection").to_pylist()
    assert {row["variant"] for row in rows} == {"full_bm25", "full_random"}
    return [row for row in rows if row["chosen"]]


def test_every_table_holds_every_model(study):
    folder, _ = study
    models = {("base", 0), ("asked", 0), ("half", 0), *((name, seed) for name in TRAINED for seed in (0, 1))}
    systems = models | {("words", 0), ("given", 0), *((name, seed) for name in ("both", "sorted") for seed in (0, 1))}
    costed = models | {("words", 0), ("sorted", 0), ("sorted", 1)}
    for table in ("measures", "ties", "geometry", "cost"):
        rows = read_rows(folder / RESULTS / f"{table}.parquet", table).to_pylist()
        expected = {"measures": systems, "ties": systems, "geometry": models, "cost": costed}[table]
        assert {(row["variant"], row["seed"]) for row in rows} == expected, table
    page = (folder / RESULTS / "report.html").read_text()
    assert "keeps" in page and "What the protocol is worth" in page and "Which queries" in page


def test_relevant_pairs_are_those_from_the_grade_of_the_split(study):
    rows = read_rows(study[0] / RESULTS / "geometry.parquet", "geometry").to_pylist()
    pairs = {(row["collection"], row["value"]) for row in rows if row["quantity"] == "judged_pairs"}
    assert pairs == {("mine", 3), ("far", 2)}, "far counts from grade 2, and a third pair has grade 1"


def test_wrong_labels_are_as_many_as_asked_for_and_what_they_cost_is_told(study):
    folder, _ = study
    clean = read_rows(folder / RESULTS / "triples/bm25/seed-0.parquet", "triples").to_pylist()
    for name, expected in (("half", 2), ("all", 4)):
        rows = read_rows(folder / RESULTS / f"triples/{name}/seed-0.parquet", "triples").to_pylist()
        wrong = [(row["positive_id"], row["negative_id"]) for row in rows]
        right = [(row["positive_id"], row["negative_id"]) for row in clean]
        swapped = [a == b[::-1] for a, b in zip(wrong, right, strict=True)]
        assert sum(swapped) == expected and all(a == b or a == b[::-1] for a, b in zip(wrong, right, strict=True))
    rows = read_rows(folder / RESULTS / "doses.parquet", "doses").to_pylist()
    points = [(row["variant"], row["dose"]) for row in rows if row["part"] == "dose" and row["collection"] == "far"]
    assert points == [("full_bm25", 0.0), ("wrong_half", 0.5), ("wrong_all", 1.0)]
    assert "What wrong labels cost" in (folder / RESULTS / "report.html").read_text(encoding="utf-8")


RUNGS = {"full_bm25--negatives", "full_bm25--rate"}


def test_the_ladder_is_told_on_every_split_and_its_variants_are_in_no_other_table(study):
    folder, _ = study
    rows = read_rows(folder / RESULTS / "ladder.parquet", "ladder").to_pylist()
    assert {(row["collection"], row["split"]) for row in rows} == {
        ("mine", "test"),
        ("mine", "unseen"),
        ("far", "test"),
    }
    assert {row["measure"] for row in rows} == {"RR@10"} and {row["seeds"] for row in rows} == {2}
    for place in ("test", "unseen"):
        here = [row for row in rows if (row["collection"], row["split"]) == ("mine", place)]
        parts = {row["name"]: row["delta"] for row in here if row["part"] == "factor"}
        (total,) = (row["delta"] for row in here if row["part"] == "total")
        assert parts.keys() == {"negatives", "rate"} and abs(sum(parts.values()) - total) < 1e-12
        assert {row["name"] for row in here if row["part"] == "rung"} == RUNGS | {"full_bm25", "full_own"}
    for seed in (0, 1):
        made = json.loads((folder / RESULTS / f"models/full_bm25--rate/seed-{seed}/training.json").read_text())
        assert (made["settings"]["triples"], made["settings"]["learning_rate"]) == ("bm25", 2.0e-4)
    for table in ("measures", "comparison", "geometry", "cost", "projection"):
        found = read_rows(folder / RESULTS / f"{table}.parquet", table)["variant"].to_pylist()
        assert not RUNGS & set(found), table
    page = (folder / RESULTS / "report.html").read_text()
    assert "Which part of the recipe did it" in page and all(name in page for name in RUNGS)


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        (lambda rows: [row for row in rows if row["name"] != "rate"], "are not those of the configuration"),
        (lambda rows: [row for row in rows if row["part"] != "total"], "there are 0 totals"),
        (lambda rows: [row | {"delta": (row["delta"] or 0) + 0.01} for row in rows], "the total is not the difference"),
        (
            lambda rows: [row | {"delta": 0.5} if row["name"] == "rate" else row for row in rows],
            "the parts do not add up",
        ),
        (
            lambda rows: [row | {"delta": None} if row["name"] == "rate" else row for row in rows],
            "some parts are known and others are not",
        ),
        (lambda rows: [row | {"mean": None} for row in rows], "has no mean and did not diverge"),
    ],
)
def test_a_fault_in_the_ladder_is_told(study, run_job, edit, told):
    fails_check(study, run_job, "ladder", edit, told)


def edited(row, **changes):
    """An edit of a table that changes columns of one of its rows."""
    return lambda rows: [each | changes if number == row else each for number, each in enumerate(rows)]


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        (lambda rows: rows[:1], "its candidates are full_bm25, not full_bm25, full_random"),
        (edited(0, selection="other"), "not those of the configuration"),
        (edited(1, split="test"), "not chosen by RR@10 on mine/dev alone"),
        (edited(0, queries=3), "not measured on the 2 queries of mine/dev"),
        (edited(0, seeds=1), "not measured with 2 seed"),
        (edited(1, mean=None), "a mean is missing"),
        (lambda rows: [row | {"chosen": True} for row in rows], "2 candidates are chosen, not one"),
        (lambda rows: [row | {"mean": 0.1 + 0.5 * (not row["chosen"])} for row in rows], "not the highest mean"),
        (
            lambda rows: [row | {"mean": 0.5, "chosen": not row["chosen"]} for row in rows],
            "not chosen and makes a claim",
        ),
    ],
)
def test_a_fault_in_a_choice_among_variants_is_told(study, run_job, edit, told):
    fails_check(study, run_job, "selection", edit, told)


def fails_check(study, run_job, table, edit, told):
    """The results are checked with a table edited, and put back."""
    folder, jobs = study
    (job,) = jobs["check_results"]
    path = folder / RESULTS / f"{table}.parquet"
    before = path.read_bytes()
    write_rows(path, table, edit(read_rows(path, table).to_pylist()))
    try:
        with pytest.raises(pytest.fail.Exception, match=told):
            run_job("check_results", job, folder)
    finally:
        path.write_bytes(before)


def called(script):
    """The function of the library that a script hands its `cfg` to as it is, or None."""
    text = script.read_text()
    found = re.search(r"(\w+)\([^()]*(?:\([^()]*\)[^()]*)*\*\*snakemake\.params\.cfg", text)
    if found is None:
        return None
    (module,) = re.findall(rf"from (backfire\.\S+) import .*\b{found[1]}\b", text)
    return getattr(importlib.import_module(module), found[1])


def test_parameters_have_the_types_that_the_library_names(study, published, root):
    """A list where a function says tuple compares unequal to every tuple, in silence."""
    checked, wrong = set(), set()
    for script, snakemake in all_jobs(study, published):
        function = called(root / f"workflow/scripts/{script}.py")
        if function is not None:
            checked.add(script)
            kinds = inspect.get_annotations(function, eval_str=True)
            # What a function takes as **others it hands to another.
            for name, value in ((name, value) for name, value in snakemake.params.cfg.items() if name in kinds):
                try:
                    TypeAdapter(kinds[name], config=ConfigDict(strict=True)).validate_python(value)
                except ValidationError:
                    wrong.add(f"{script}: {name}={value!r} is no {kinds[name]}")
    assert wrong == set()
    assert len(checked) > 10


def test_parameters_are_plain_data(study, published):
    """Snakemake compares them by their text and hands them on; what is no plain data may change on the way."""

    def plain(value):
        if isinstance(value, dict):
            return all(isinstance(key, str) and plain(each) for key, each in value.items())
        return all(map(plain, value)) if type(value) is list else type(value) in (str, int, float, bool, type(None))

    found = all_jobs(study, published)
    assert {snakemake.rule for _, snakemake in found if not plain(snakemake.params.get("cfg"))} == set()


def all_jobs(study, published):
    return [(script, job) for jobs in (study[1], published) for script, each in jobs.items() for job in each]


def test_what_is_published_is_sampled_by_the_parameters_of_the_papers_study(study, published, script):
    folder, _ = study
    f = lambda name: str(folder / name)  # noqa: E731
    (folder / "pairs.tsv").write_text("t1\tsort\tfft\nt2\tmean\tsvd\nother\tmean\tsvd\n")
    pairs = ir_datasets.Dataset(TsvDocPairs(LocalDownload(folder / "pairs.tsv")))
    ir_datasets.registry.register("pairs-of-the-scripts", pairs)
    cfg = next(job.params.cfg for job in published["sample_published"])
    vectors = f"{RESULTS}/embeddings/base/seed-0/mine"
    inputs = {
        "queries": f("data/mine/queries/train.parquet"),
        "corpus": [f(f"data/mine/corpus/{shard}-of-2.parquet") for shard in (1, 2)],
        "query_embeddings": f(f"{vectors}/queries/train.parquet"),
        "embeddings": [f(f"{vectors}/corpus/{shard}-of-2.parquet") for shard in (1, 2)],
    }
    outputs = {"triples": f("published.parquet"), "manifest": f("published.json")}
    script("sample_published", folder, inputs, outputs, cfg | {"source": "pairs-of-the-scripts", "size": 2})
    triples = read_rows(f("published.parquet"), "triples").to_pylist()
    assert {(row["query_id"], row["negative_id"]) for row in triples} == {("t1", "fft"), ("t2", "svd")}
    cfg = next(job.params.cfg for job in published["download_collection"])
    needs = {"corpus": f("mine"), "needs": {}, "texts": ["default"]}
    assert needs.keys() == cfg.keys()
    script("download_collection", folder, [], [f("download.json")], needs)
    assert (folder / "download.json").exists()


def test_a_script_that_fails_says_why_and_leaves_nothing(study, script, tmp_path, capsys):
    mine = tmp_path / "mine"
    write_folder(mine, PASSAGES, QUERIES, ANSWERS, 1)
    (mine / "corpus.jsonl").write_text('{"_id": "a", "text": "one passage"}\n{"_id": "a", "text": "another"}\n')
    outputs = {"shards": [str(tmp_path / "x.parquet")], "manifest": str(tmp_path / "x.json")}
    cfg = study[1]["export_corpus"][0].params.cfg | {"corpus": str(mine)}
    with pytest.raises(SystemExit) as stopped:
        script("export_corpus", tmp_path, [], outputs, cfg)
    assert stopped.value.code == 1
    message = capsys.readouterr().err
    assert "'a'" in message
    assert "Hint: " in message
    assert "Traceback" not in message
    assert "Traceback" in (tmp_path / "logs/export_corpus.log").read_text()
    assert not (tmp_path / "x.parquet").exists()
    assert not (tmp_path / "x.json").exists()
