"""The paper's study on a miniature MS MARCO: downloaded, in the published formats, all the way to the report."""

import json
import re
import shutil
from collections import Counter
from dataclasses import dataclass, replace
from math import log2
from pathlib import Path

import pytest

from backfire.datasets.text import normalised
from backfire.formats.tables import read_rows
from backfire.formats.trec import read_run
from miniature.collection import Miniature
from miniature.downloads import environment
from miniature.published import counts, publish
from miniature.server import Files, serving

pytestmark = [pytest.mark.workflow, pytest.mark.long]
RESULTS = "results/miniature"
NOBODY = "http://127.0.0.1:9"
# Two jobs that load a model at a time; most of what they take is loading it.
TWO = ["--set-threads", *(f"{rule}=4" for rule in ("encode_corpus", "encode_corpus_of_choice", "measure_latency"))]
DOWNLOADED = [
    "2019qrels-pass.txt",
    "2020qrels-pass.txt",
    "collectionandqueries.tar.gz",
    "fiqa.zip",
    "msmarco-test2019-queries.tsv.gz",
    "msmarco-test2020-queries.tsv.gz",
    "nfcorpus.zip",
    "qrels.train.tsv",
    "queries.tar.gz",
    "scifact.zip",
    "triples.train.small.tar.gz",
]


@dataclass(frozen=True)
class Finished:
    """The study, run once; `held` is what was published, `home` where ir_datasets keeps it."""

    engine: object
    overlays: tuple[Path, ...]
    held: Miniature
    files: Files
    home: Path

    def run(self, *arguments: str) -> str:
        return self.engine.succeed(*arguments, overlays=self.overlays)

    def elsewhere(self, directory: Path) -> "Finished":
        return replace(self, engine=self.engine.elsewhere(directory))

    def file(self, path: str) -> Path:
        return self.engine.directory / path

    def rows(self, path: str, kind: str) -> list[dict]:
        return read_rows(self.file(path), kind).to_pylist()

    def corpus(self, folder: str) -> list[str]:
        """Texts of the passages under a folder, whose ids must be those of their positions."""
        rows = [row for shard in (1, 2) for row in self.rows(f"{folder}/corpus/{shard}-of-2.parquet", "corpus")]
        assert [row["doc_id"] for row in rows] == [str(number) for number in range(len(rows))]
        return [row["text"] for row in rows]

    def manifest(self, collection: str) -> dict:
        return json.loads(self.file(f"data/{collection}/manifest.json").read_text())


@pytest.fixture(scope="module")
def finished(clone, prepared_base, tmp_path_factory):
    folder = tmp_path_factory.mktemp("miniature")
    held = publish(folder / "published")
    engine = (
        replace(clone, study=clone.source / "studies/msmarco.yaml")
        .elsewhere(folder / "work")
        .given(prepared_base, "miniature")
    )
    overlay = clone.source / "tests/studies/miniature.yaml"
    with serving(folder / "published") as files, pytest.MonkeyPatch.context() as patch:
        for name, value in environment(folder / "published", files.url, folder / "home", counts(held)).items():
            patch.setenv(name, value)
        study = Finished(engine, (overlay,), held, files, folder / "home")
        study.run(*TWO)
        yield study


@pytest.fixture
def offline(finished, monkeypatch):
    """A function that sends downloads to an address where nobody answers, with the home given."""

    def leave(home: Path) -> None:
        for name, value in environment(finished.files.folder, NOBODY, home, counts(finished.held)).items():
            monkeypatch.setenv(name, value)

    return leave


def test_the_report_compares_every_variant_on_every_set(finished):
    page = finished.file(f"{RESULTS}/report.html").read_text()
    assert all(variant in page for variant in ("base", "paper_full_1m", "lora_hard"))
    rows = finished.rows(f"{RESULTS}/comparison.parquet", "comparison")
    sets = {("msmarco", "dev_small"): 40, ("msmarco", "dl19"): 10, ("msmarco", "dl20"): 9}
    sets |= {(name, "test"): 20 for name in ("scifact", "nfcorpus", "fiqa")}
    assert {(row["collection"], row["split"]): row["queries"] for row in rows} == sets
    assert {row["variant"] for row in rows} >= {"paper_full_1m", "lora_hard"}


def test_the_papers_recipe_keeps_its_best_look_at_a_fifth_of_the_triples(finished):
    notes = json.loads(finished.file(f"{RESULTS}/models/paper_full_1m/seed-0/training.json").read_text())
    assert (notes["held_out"]["examples"], notes["kept"]["steps"]) == (8, 10)
    accuracies = {step: accuracy for step, _, accuracy in notes["held_out"]["looks"] if step}
    assert list(accuracies) == [2, 4, 6, 8, 10]
    assert notes["kept"]["step"] == max(accuracies, key=accuracies.get)


def test_each_file_is_downloaded_once(finished):
    assert sorted(name for name, _ in finished.files.requests) == DOWNLOADED


def test_the_plan_told_what_would_be_downloaded(finished):
    download = json.loads(finished.file(f"{RESULTS}/plan.json").read_text())["download"]
    sizes = {name: (finished.files.folder / name).stat().st_size for name in DOWNLOADED}
    assert {Path(each["url"]).name: each["bytes"] for each in download["files"]} == sizes
    assert download["bytes"] == sum(sizes.values())


def test_a_changed_setting_shows_below_the_download_too(finished, overlay):
    jobs = finished.engine.planned(overlays=(*finished.overlays, *overlay({"ranking": {"depth": 40}})))
    assert "rank base dev_small" in jobs and "write_report" in jobs
    # What tries another protocol is removed once it is ranked, so that is made again.
    above = "plan_download|download_collection|export_|tokenize_|encode_(corpus|queries)(?!_of_choice)"
    assert not [job for job in jobs if re.match(above, job)]


def test_passages_have_their_repaired_text_and_for_the_ablation_the_published_one(finished):
    held = finished.held
    published = [held.published(number) for number in range(len(held.passages))]
    assert finished.corpus("data/msmarco") == held.passages
    assert finished.corpus("data/msmarco/texts/published") == published
    assert sum(text != held.passages[number] for number, text in enumerate(published)) == len(held.mangled) > 80


def test_what_is_left_out_is_counted(finished):
    splits = finished.manifest("msmarco")["splits"]
    queries = {name: (each["queries"]["read"], each["queries"]["kept"]) for name, each in splits.items()}
    assert queries == {
        "train": (70, 60),
        "watched": (25, 20),
        "dev_small": (40, 40),
        "dl19": (10, 10),
        "dl20": (10, 9),
    }
    assert splits["train"]["queries"]["dropped"] == {"no relevant passage": 10}
    assert splits["dl20"]["judgments"]["dropped"] == {"query dropped": 9}
    fiqa = finished.manifest("fiqa")["corpus"]
    assert (fiqa["read"], fiqa["kept"], fiqa["dropped"]) == (62, 60, {"empty": 2})


def test_queries_and_judgments_are_those_that_were_published(finished):
    for split, published in {"dev_small": "dev.small", "dl19": "dl19", "dl20": "dl20"}.items():
        kept = finished.held.judged(published)
        texts = {
            row["query_id"]: row["text"] for row in finished.rows(f"data/msmarco/queries/{split}.parquet", "queries")
        }
        assert texts == {each: text for each, text in finished.held.queries[published].items() if each in kept}
        rows = finished.rows(f"data/msmarco/qrels/{split}.parquet", "qrels")
        judged = {(row["query_id"], int(row["doc_id"]), row["relevance"]) for row in rows}
        assert judged == {row for row in finished.held.qrels[published] if row[0] in kept}


def triples(finished, name: str) -> list[tuple[str, int, int]]:
    rows = finished.rows(f"{RESULTS}/triples/{name}/seed-0.parquet", "triples")
    return [(row["query_id"], int(row["positive_id"]), int(row["negative_id"])) for row in rows]


def test_published_triples_are_sampled_from_the_file_by_id(finished):
    sampled, published = triples(finished, "bm25"), finished.held.triples
    assert len(sampled) == len(set(sampled)) == 40
    assert set(sampled) <= set(published)
    places = [published.index(each) for each in sampled]
    assert max(places) > len(published) / 2
    assert any(not finished.held.queries["train"][query].isascii() for query, _, _ in sampled)


def test_there_is_a_hard_triple_for_each_training_query_that_is_judged(finished):
    held = finished.held
    positives: dict[str, set[int]] = {}
    for query, passage, _ in held.qrels["train"]:
        positives.setdefault(query, set()).add(passage)
    sampled = triples(finished, "hard")
    kept = {row["query_id"] for row in finished.rows("data/msmarco/queries/train.parquet", "queries")}
    assert Counter(query for query, _, _ in sampled) == Counter(kept)
    for query, positive, negative in sampled:
        assert positive in positives[query]
        texts = {normalised(held.passages[each]) for each in positives[query]}
        assert normalised(held.passages[negative]) not in texts


def test_held_out_queries_are_in_no_triple(finished):
    held_out = {row["query_id"] for row in finished.rows("data/msmarco/queries/watched.parquet", "queries")}
    assert len(held_out) == 20
    assert held_out & {query for query, _, _ in finished.held.triples}
    for name in ("bm25", "hard"):
        assert not held_out & {query for query, _, _ in triples(finished, name)}


@pytest.mark.parametrize("split", ["dl19", "dl20"])
def test_graded_sets_count_grades_as_their_track_does(finished, split):
    """RR@10 over grades 2 and 3; nDCG@10 with the grades as gains."""
    grades: dict[str, dict[str, int]] = {}
    for query, passage, grade in finished.held.qrels[split]:
        grades.setdefault(query, {})[str(passage)] = grade
    rows = finished.rows(f"{RESULTS}/measures.parquet", "measures")
    found = {
        (row["query_id"], row["measure"]): row["value"]
        for row in rows
        if (row["variant"], row["split"]) == ("base", split)
    }
    run = read_run(finished.file(f"{RESULTS}/runs/base/seed-0/msmarco/{split}.trec"))
    little = []
    for query, ranking in run.items():
        top = [grades[query].get(hit[0], 0) for hit in ranking[:10]]
        reciprocal = max((1 / rank for rank, grade in enumerate(top, 1) if grade >= 2), default=0)
        ideal = sorted(grades[query].values(), reverse=True)[:10]
        gain, best = (sum(grade / log2(rank + 1) for rank, grade in enumerate(each, 1)) for each in (top, ideal))
        assert found[query, "RR@10"] == pytest.approx(reciprocal)
        assert found[query, "nDCG@10"] == pytest.approx(gain / best)
        little.append(found[query, "RR@10"] == 0 and found[query, "nDCG@10"] > 0)
    assert split == "dl19" or any(little)


def test_dropping_identical_ids_loses_a_passage_by_accident(finished):
    rows = finished.rows(f"{RESULTS}/protocol.parquet", "protocol")
    assert {row["factor"] for row in rows} == {"text", "max_length", "identical ids", "ties"}
    (dropped,) = [row for row in rows if row["choice"] == "dropped" and row["measure"] == "R@50"]
    assert dropped["changed"] == 1
    assert dropped["delta"] < 0


def test_a_second_run_does_nothing_and_asks_nothing(finished):
    before = len(finished.files.requests)
    assert "Nothing to be done" in finished.run()
    assert len(finished.files.requests) == before


def test_with_no_network_everything_is_made_again_from_what_was_downloaded(finished, offline, tmp_path):
    offline(finished.home)
    again, plan = finished.elsewhere(tmp_path / "again"), f"{RESULTS}/plan.json"
    # The plan holds here too, so nothing is measured for another.
    again.file(plan).parent.mkdir(parents=True)
    shutil.copy2(finished.file(plan), again.file(plan))
    paths = [f"data/{name}/manifest.json" for name in ("msmarco", "scifact", "nfcorpus", "fiqa")]
    again.run(*paths)
    for path in [*paths, "data/msmarco/corpus/1-of-2.parquet", "data/msmarco/qrels/train.parquet"]:
        assert again.file(path).read_bytes() == finished.file(path).read_bytes(), path


def test_with_no_network_and_no_download_one_error_lists_the_files(finished, offline, tmp_path):
    offline(tmp_path / "empty")
    engine = finished.elsewhere(tmp_path / "work").engine
    done = engine.run("data/msmarco/manifest.json", overlays=finished.overlays)
    text = done.stdout + done.stderr
    assert done.returncode != 0
    # The plan lists the files of every collection; the error those of the one that was asked for.
    error = text.split("cannot be fetched")[1]
    for name in DOWNLOADED:
        assert (f"{NOBODY}/{name}" in error) == (not name.endswith(".zip")), name
    assert "Hint: " in error
    assert not list((engine.directory / "data").rglob("*.parquet"))
