"""Sources of a study: there or not, and the same ones under two names."""

import json
import shutil

import ir_datasets
import pytest

from backfire.datasets import catalogue, extraction
from backfire.errors import BackfireError
from backfire.preflight.sources import PYDOCS_SETS, check_different, check_sources
from backfire.study.triples import triples_named


def folder(path, **qrels):
    """A folder in BEIR layout whose splits judge the given queries."""
    (path / "qrels").mkdir(parents=True)
    (path / "corpus.jsonl").write_text(
        "".join(json.dumps({"_id": f"d{n}", "text": f"text {n}"}) + "\n" for n in range(20))
    )
    (path / "queries.jsonl").write_text(
        "".join(json.dumps({"_id": f"q{n}", "text": f"text {n}"}) + "\n" for n in range(9))
    )
    for split, queries in qrels.items():
        rows = [f"q{n}\td{n}\t1" for n in queries]
        (path / f"qrels/{split}.tsv").write_text("\n".join(["query-id\tcorpus-id\tscore", *rows]) + "\n")
    return str(path)


@pytest.fixture
def mine(tmp_path):
    return folder(tmp_path / "mine", train=[1, 2], dev=[3], test=[4, 5])


@pytest.fixture
def on(study_of):
    """A study that trains on a collection, with others beside it."""

    def make(corpus, splits, train="train", **others):
        collections = {"pydocs": None, "mine": {"corpus": corpus, "train": train, "splits": splits}, **others}
        primary = {"collection": "mine", "split": "test", "measure": "RR@10"}
        return study_of({"collections": collections, "train_on": "mine", "primary": primary})

    return make


def test_a_folder_with_a_set_of_queries_for_each_purpose(on, mine):
    study = on(mine, {"dev": "dev", "test": "test"})
    check_sources(study)
    check_sources(study, thoroughly=True)
    check_different(study)


def refused(study):
    with pytest.raises(BackfireError) as caught:
        check_different(study)
    return str(caught.value)


@pytest.mark.parametrize(
    ("splits", "pair", "hint"),
    [
        ({"dev": "dev", "test": "train"}, "'train' and 'test'", "not trained on"),
        ({"dev": "train", "test": "test"}, "'train' and 'dev'", "a split of its own"),
        ({"dev": "test", "test": "test"}, "'dev' and 'test'", "dynamics.split"),
        ({"dev": "dev", "test": "test", "again": "test"}, "'test' and 'again'", "once"),
    ],
)
def test_one_source_under_two_names(on, mine, splits, pair, hint):
    text = refused(on(mine, splits))
    assert f"collections.mine: {pair} are the same queries" in text and hint in text


@pytest.mark.parametrize("how", ["link", "hard link", "copy"])
def test_one_file_under_two_names(on, mine, tmp_path, how):
    train, other = tmp_path / "mine/qrels/train.tsv", tmp_path / "mine/qrels/held.tsv"
    if how == "link":
        other.symlink_to("train.tsv")
    elif how == "hard link":
        other.hardlink_to(train)
    else:
        shutil.copyfile(train, other)
    assert "'train' and 'test' are the same queries (train and held)" in refused(
        on(mine, {"dev": "dev", "test": "held"})
    )


@pytest.mark.parametrize("named", ["relative", "link", "copy", "dots"])
def test_what_is_trained_on_is_not_judged_in_another_collection(on, mine, tmp_path, monkeypatch, named):
    monkeypatch.chdir(tmp_path)
    other = {"relative": "mine", "dots": f"{mine}/../mine/", "link": "linked", "copy": "copied"}[named]
    if named == "link":
        (tmp_path / "linked").symlink_to(mine)
    if named == "copy":
        shutil.copytree(mine, tmp_path / "copied")
    fine = {"dev": "dev", "test": "test"}
    for split, called in (("train", "trained on"), ("dev", "watched in training")):
        text = refused(on(mine, fine, other={"corpus": other, "splits": {"held": split}}))
        assert f"collections.other: 'held' are the queries that are {called}" in text
    # To judge the same queries of the same corpus twice, in another text say, is no fault.
    check_different(on(mine, fine, other={"corpus": other, "text": "untitled", "splits": {"held": "test"}}))


def test_equal_judgments_of_another_corpus_are_other_queries(on, mine, tmp_path):
    other = folder(tmp_path / "other", held=[1, 2])
    (tmp_path / "other/corpus.jsonl").write_text('{"_id": "d1", "text": "x"}\n{"_id": "d2", "text": "y"}\n')
    check_different(on(mine, {"dev": "dev", "test": "test"}, other={"corpus": other, "splits": {"held": "held"}}))


@pytest.mark.parametrize(
    ("train", "judged"),
    [
        ("msmarco-passage/train", "msmarco-passage/train"),
        ("msmarco-passage/train", "msmarco-passage/train/judged"),
        ("msmarco-passage/train/triples-small", "msmarco-passage/train/triples-v2"),
    ],
)
def test_an_id_and_its_other_names(on, train, judged):
    splits = {"dev": "msmarco-passage/dev/small", "test": judged}
    assert "'train' and 'test' are the same queries" in refused(on("msmarco-passage", splits, train))


def test_a_query_set_that_beir_took_over(on):
    splits = {"dev": "msmarco-passage/dev/small", "test": "msmarco-passage/trec-dl-2020"}
    other = {"corpus": "beir/msmarco", "splits": {"held": "beir/msmarco/dev"}}
    text = refused(on("msmarco-passage", splits, "msmarco-passage/train", other=other))
    assert "collections.other: 'held' are the queries that are watched in training, 'dev' of 'mine'" in text
    other["splits"]["held"] = "beir/msmarco/test"
    check_different(on("msmarco-passage", splits, "msmarco-passage/train", other=other))


def test_names_of_the_catalogue_are_names_of_the_library():
    for names in catalogue.ALSO_KNOWN_AS.items():
        assert all(ir_datasets.load(name).has("qrels") for name in names)
    for source in ("msmarco-passage/dev/small", "vaswani", "beir/scifact/test"):
        for part in ("docs", "queries", "qrels", "docpairs"):
            assert catalogue.has_parts(source, [part]) == ir_datasets.load(source).has(part), (source, part)


def test_sets_of_pydocs_are_those_that_it_has():
    assert PYDOCS_SETS == extraction.SPLITS


@pytest.mark.parametrize(
    ("corpus", "splits", "train", "told"),
    [
        (
            "hf:set",
            {"dev": "dev", "test": "test"},
            "train",
            "collections.mine.corpus: found 'hf:set', which is no id of a data set of the hub",
        ),
        ("./nowhere", {"dev": "dev", "test": "test"}, "train", "'./nowhere': there is no such folder"),
        ("vaswan", {"dev": "vaswani", "test": "vaswani"}, None, "did you mean vaswani"),
        ("pydocs", {"dev": "pydocs/dev", "test": "pydocs/tset"}, "pydocs/train", "'pydocs/tset' is neither"),
        ("vaswani", {"dev": "beir/scifact/test", "test": "vaswani"}, None, "belongs to the corpus 'beir/scifact'"),
        ("msmarco-passage", {"dev": "msmarco-passage/eval", "test": "msmarco-passage/dev"}, None, "has no qrels"),
    ],
)
def test_sources_that_are_not_there(study_of, corpus, splits, train, told):
    collections = {"pydocs": None, "mine": {"corpus": corpus, "splits": splits, "train": train}}
    primary = {"collection": "mine", "split": "test", "measure": "RR@10"}
    untrained = {} if train else {"variants": dict.fromkeys(["full_bm25", "full_hard", "lora_bm25", "lora_hard"])}
    study = study_of({"collections": collections, "train_on": "mine", "primary": primary} | untrained)
    for thoroughly in (False, True):
        with pytest.raises(BackfireError) as caught:
            check_sources(study, thoroughly)
        assert told in str(caught.value)


def test_a_split_that_a_folder_lacks(on, mine):
    with pytest.raises(BackfireError, match="tset"):
        check_sources(on(mine, {"dev": "dev", "test": "tset"}))
    with pytest.raises(BackfireError, match="'triples-small'|published triples name passages by their ids"):
        study = on(mine, {"dev": "dev", "test": "test"})
        block = {"negatives": "published", "source": "msmarco-passage/train/triples-small", "size": 9}
        study.triples["bm25"] = triples_named("bm25", block)
        check_sources(study)


@pytest.fixture
def joint(study_of, tmp_path):
    """A study that trains on two folders as one; settings of the joined collection on top."""
    folder(tmp_path / "one", train=[1, 2], dev=[3], test=[4, 5])
    folder(tmp_path / "two", train=[1], dev=[2, 3], test=[6])

    def make(**settings):
        parts = {
            name: {"corpus": str(tmp_path / name), "train": "train", "splits": {"dev": "dev", "test": "test"}}
            for name in ("one", "two")
        }
        joined = {"of": ["one", "two"], "splits": {"dev": "dev"}} | settings
        primary = {"collection": "one", "split": "test", "measure": "RR@10"}
        collections = {"pydocs": None, **parts, "both": joined}
        return study_of({"collections": collections, "train_on": "both", "primary": primary})

    return make


def test_what_is_watched_together_is_not_judged_apart(joint):
    study = joint()
    check_sources(study, thoroughly=True)
    check_different(study)
    assert study.evaluations == [("one", "test"), ("two", "test")]
    assert study.trained_on == ["one", "two", "both"] and study.elsewhere == []


def test_queries_of_a_part_are_known_again_in_the_whole(joint):
    check_different(joint(splits={"dev": "dev", "all": "test"}))
    told = refused(joint(splits={"dev": "dev", "again": "train"}))
    assert "collections.both: 'train' and 'again' are the same queries" in told
    told = refused(joint(splits={"dev": "dev", "again": "dev"}))
    assert "collections.both: 'dev' and 'again' are the same queries" in told


def test_one_part_is_trained_on_and_the_whole_judged(study_of, tmp_path):
    folder(tmp_path / "one", train=[1, 2], dev=[3], test=[4, 5])
    folder(tmp_path / "two", train=[1], dev=[2, 3], test=[6])
    parts = {
        name: {"corpus": str(tmp_path / name), "train": "train", "splits": {"dev": "dev", "test": "test"}}
        for name in ("one", "two")
    }
    primary = {"collection": "one", "split": "test", "measure": "RR@10"}

    def make(split):
        both = {"of": ["one", "two"], "train": None, "splits": {"whole": split}}
        return study_of({"collections": {"pydocs": None, **parts, "both": both}, "train_on": "one", "primary": primary})

    study = make("test")
    check_different(study)
    assert study.elsewhere == [("two", "dev"), ("two", "test")], "both holds text that is trained on"
    assert "'whole' are the queries that are trained on, 'train' of 'one'" in refused(make("train"))
    assert "'whole' are the queries that are watched in training, 'dev' of 'one'" in refused(make("dev"))


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ({"corpus": "hf:me/pairs@main"}, True),
        ({"corpus": "hf:me/pairs/default"}, True),
        ({"corpus": "hf:me/pairs", "held_out": {"dev": 0.1, "test": 0.5}, "splits": {"x": "test"}}, True),
        ({"corpus": "hf:me/others"}, False),
    ],
)
def test_a_data_set_of_the_hub_is_known_by_another_spelling_and_by_other_shares(study_of, other, same):
    collections = {
        "pydocs": None,
        "mine": {"corpus": "hf:me/pairs", "train": "train", "splits": {"dev": "dev", "test": "test"}},
        "more": {"splits": {"x": "train"}} | other,
    }
    primary = {"collection": "mine", "split": "test", "measure": "RR@10"}
    study = study_of({"collections": collections, "train_on": "mine", "primary": primary})
    check_sources(study)
    if same:
        assert "'x' are the queries that are trained on" in refused(study)
    else:
        check_different(study)
