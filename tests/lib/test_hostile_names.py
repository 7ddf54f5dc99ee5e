"""Names, ids and texts that nobody would choose: refused in one line each, or kept to the last character."""

import ast
import copy
import csv
import json
import re

import numpy as np
import pyarrow as pa
import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from backfire.datasets.export import export_corpus, export_queries
from backfire.datasets.ids import registered
from backfire.datasets.load import load_corpus, load_split, provenance, records
from backfire.datasets.passages import texts_by_id
from backfire.datasets.sources import input_files, is_folder
from backfire.encoders.folders import find_base
from backfire.errors import BackfireError
from backfire.evaluation.perquery import read_store
from backfire.formats.atomic import read_json, write_json
from backfire.formats.delimited import write_csv
from backfire.formats.embeddings import read_embeddings, write_embeddings
from backfire.formats.schemas import SCHEMAS
from backfire.formats.tables import read_rows, write_rows
from backfire.formats.trec import read_run, write_run
from backfire.study.settings import checked
from backfire.study.study import Study

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
HOSTILE = [
    "..", ".", "a/b", "../../etc/passwd", "/root", "~", "-rf", "--configfile", "a b", "a\tb", "a\n", "\n", "a\nb",
    "a\r", "it's", '"', "`id`", "$(touch pwned)", "${HOME}", "a;b", "a|b", "a&b", "a>b", "*", "{variant}", "{{",
    "%20", "%s",
    "A", "é", "zażółć", "名前", "\u202egnp", "\u00a0", "\ufeff", "\0", "a\0", "\x1b[31m", "x" * 65, "x" * 100_000, "",
    "=1+1", "null", "nan", "NaN", "None", "🙂", "a\u2028b", "\x85", "\x1c",
]  # fmt: skip
# Any text that UTF-8 can carry, and often what has bitten somebody.
text = st.one_of(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12), st.sampled_from(HOSTILE))
# What an exported id can be: see export_corpus.
identifier = text.filter(lambda each: each and "\0" not in each)
identifiers = st.lists(identifier, min_size=1, max_size=5, unique=True)
few = settings(max_examples=40, deadline=None)
TABLES = ("corpus", "queries", "qrels", "candidates", "triples", "measures", "moved")


@pytest.fixture(scope="module")
def schema(root_of_session):
    return yaml.safe_load((root_of_session / "workflow/schemas/config.yaml").read_text())


@pytest.fixture(scope="module")
def root_of_session(request):
    return request.config.rootpath


@pytest.fixture(scope="module")
def config(root_of_session):
    found = yaml.safe_load((root_of_session / "config.yaml").read_text())
    found.setdefault("selections", {})["best"] = {"among": ["full_bm25", "full_hard"], "measure": "RR@10"}
    return found


@few
@given(
    block=st.sampled_from(["study", "collections", "splits", "variants", "triples", "selections"]),
    name=st.one_of(text, st.sampled_from(HOSTILE), st.from_regex(r"[a-z0-9_-]{0,66}\n?", fullmatch=True)),
)
@example(block="study", name="quickstart\n")
@example(block="variants", name="full\n")
def test_a_name_outside_the_pattern_is_refused_in_one_line(schema, config, block, name):
    if NAME.fullmatch(name) or name == "train":
        return
    wrong = copy.deepcopy(config)
    place = {"splits": wrong["collections"]["pydocs"]}.get(block, wrong)
    if block == "study":
        wrong["study"] = name
    else:
        entries = place[block]
        entries[name] = copy.deepcopy(next(iter(entries.values())))
    with pytest.raises(BackfireError) as caught:
        checked(wrong, schema)
    first, line, *more = caught.value.message.split("\n")
    assert first == "The configuration has errors:"
    assert not more
    assert line.isprintable()
    assert len(line) < 250
    assert "expected a name of lower-case letters, digits, '-' and '_'" in line


@few
@given(name=st.from_regex(r"[a-z0-9][a-z0-9_-]{0,63}", fullmatch=True))
def test_a_name_within_the_pattern_is_taken(schema, config, name):
    wanted = copy.deepcopy(config) | {"study": name}
    assert Study(checked(wanted, schema)).name == name


@few
@given(
    key=st.one_of(text, st.integers(), st.booleans(), st.none(), st.floats(allow_nan=False)),
    block=st.sampled_from(["", "encoding", "primary", "collections", "variants", "selections", "triples"]),
    value=st.one_of(text, st.integers(), st.lists(text, max_size=2), st.dictionaries(text, st.integers(), max_size=2)),
)
def test_any_key_anywhere_gives_lines_that_can_be_read(schema, config, key, block, value):
    wrong = copy.deepcopy(config)
    (wrong[block] if block else wrong)[key] = value
    try:
        checked(wrong, schema)
    except BackfireError as error:
        assert error.message.replace("\n", "").isprintable()
        # Each unknown key is followed by the known ones, never by 100 kB of its own.
        assert all(len(line) < 2000 for line in error.message.split("\n"))
        assert error.hint


@few
@given(source=text)
@example(source="/" + "x" * 100_000)
@example(source="~nobody-of-this-name/model")
def test_a_source_that_is_none_is_refused_without_a_trace(source, tmp_path_factory, monkeypatch_module):
    monkeypatch_module.chdir(tmp_path_factory.mktemp("empty"))
    if not is_folder(source):
        assert input_files(source) == []
        with pytest.raises(BackfireError):
            registered(source, "docs")
        try:
            found = find_base(source)
            assert found is None
        except BackfireError as error:
            assert "base_model" in error.message


@pytest.fixture(scope="module")
def monkeypatch_module():
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@few
@given(ids=identifiers, texts=st.lists(text, min_size=5, max_size=5), value=st.floats(0, 1))
def test_tables_keep_every_character(tmp_path_factory, ids, texts, value):
    folder = tmp_path_factory.mktemp("tables")
    for kind in TABLES:
        rows = [
            {field.name: hostile(field, each, text, row) for field in SCHEMAS[kind]}
            for row, (each, text) in enumerate(zip(ids, texts, strict=False))
        ]
        write_rows(folder / "t.parquet", kind, rows)
        assert read_rows(folder / "t.parquet", kind).to_pylist() == rows, kind
    measures = [
        {"variant": v, "seed": 0, "collection": "c", "split": "s", "measure": "RR@10", "query_id": each, "value": value}
        for v in ("base", "tuned")
        for each in ids
    ]
    write_rows(folder / "m.parquet", "measures", measures)
    scores = read_store(folder / "m.parquet").at(("c", "s", "RR@10"), "tuned")
    assert sorted(scores.queries) == sorted(ids) and scores.values.shape == (1, len(ids))
    corpus = [{"doc_id": each, "text": text} for each, text in zip(ids, texts, strict=False)]
    write_rows(folder / "c.parquet", "corpus", corpus)
    assert texts_by_id([folder / "c.parquet"], "corpus", ids) == {row["doc_id"]: row["text"] for row in corpus}


def hostile(field, each, text, row):
    """A value of a column: ids and texts where it holds text."""
    if pa.types.is_list(field.type):
        return [each, text] if pa.types.is_string(field.type.value_type) else [row]
    if pa.types.is_string(field.type):
        return each if field.name.endswith("id") else text
    return True if pa.types.is_boolean(field.type) else row if pa.types.is_integer(field.type) else row / 4


@few
@given(ids=identifiers)
def test_embeddings_runs_json_and_csv_keep_every_character(tmp_path_factory, ids):
    folder = tmp_path_factory.mktemp("files")
    write_embeddings(folder / "e.parquet", "doc_id", ids, np.ones((len(ids), 2), np.float32))
    assert read_embeddings(folder / "e.parquet", "doc_id")[0] == ids
    run = {each: [(other, 0.5) for other in ids] for each in ids}
    write_run(folder / "r.trec", run.items(), "base-seed-0")
    assert read_run(folder / "r.trec") == run
    assert all(len(line.split(" ")) == 6 for line in (folder / "r.trec").read_text("utf-8").split("\n")[:-1])
    write_json(folder / "j.json", {"ids": ids, "by": dict.fromkeys(ids, 1)})
    assert read_json(folder / "j.json") == {"ids": ids, "by": dict.fromkeys(ids, 1)}
    rows = [{name: each for name in SCHEMAS["selection"].names} for each in ids]
    write_csv(folder / "s.csv", "selection", rows)
    with (folder / "s.csv").open(encoding="utf-8", newline="") as stream:
        csv.field_size_limit(1_000_000)
        assert list(csv.DictReader(stream)) == rows


@pytest.mark.parametrize("half", ["\ud83d", "a\udc80b"])
def test_half_of_a_surrogate_pair_is_refused_where_it_cannot_be_carried(tmp_path, half):
    refused = [
        lambda: write_rows(tmp_path / "t.parquet", "queries", [{"query_id": "q", "text": half}]),
        lambda: write_rows(tmp_path / "t.parquet", "qrels", [{"query_id": "q", "doc_id": half, "relevance": 1}]),
        lambda: write_embeddings(tmp_path / "e.parquet", "doc_id", [half], np.ones((1, 2), np.float32)),
        lambda: write_run(tmp_path / "r.trec", [(half, [("d", 0.5)])], "base"),
        lambda: write_csv(tmp_path / "c.csv", "selection", [{"variant": half}]),
    ]
    for write in refused:
        with pytest.raises(BackfireError, match="half of a surrogate pair") as caught:
            write()
        str(caught.value).encode()
        assert not list(tmp_path.iterdir())
    # JSON has escapes for it.
    write_json(tmp_path / "j.json", {half: half})
    assert read_json(tmp_path / "j.json") == {half: half}


@settings(max_examples=40, deadline=None)
@given(
    ids=identifiers.filter(lambda ids: not any(set("\t\n\r") & set(each) for each in ids)),
    texts=st.lists(text.filter(str.strip), min_size=5, max_size=5),
    escaped=st.booleans(),
)
def test_a_folder_in_beir_layout_keeps_every_character(tmp_path_factory, ids, texts, escaped):
    folder = tmp_path_factory.mktemp("a folder's $(touch pwned) {name} zażółć") / "beir; x"
    (folder / "qrels").mkdir(parents=True)
    rows = list(zip(ids, texts, strict=False))
    lines = [json.dumps({"_id": each, "text": text}, ensure_ascii=escaped) + "\n" for each, text in rows]
    (folder / "corpus.jsonl").write_text("".join(lines), encoding="utf-8", newline="")
    (folder / "queries.jsonl").write_text("".join(lines), encoding="utf-8", newline="")
    judged = ["query-id\tcorpus-id\tscore\n", *(f"{each}\t{each}\t1\n" for each in ids)]
    (folder / "qrels/it's a $(split).tsv").write_text("".join(judged), encoding="utf-8", newline="")
    source, split = str(folder), "it's a $(split)"
    assert len(input_files(source, split)) == 2
    assert [(doc.doc_id, doc.text) for doc in records(load_corpus(source), source, "docs")] == rows
    found = load_split(source, split)
    assert [query.query_id for query in records(found, source, "queries")] == ids
    assert [qrel.doc_id for qrel in records(found, source, "qrels")] == ids
    assert list(provenance(source, split)["files"]) == input_files(source, split)
    # Elsewhere: a corpus.json in the collection's own folder would be another corpus of it.
    folder = folder.parent / "out; y"
    folder.mkdir()
    export_corpus(source, None, [folder / "1-of-1.parquet"], folder / "corpus.json")
    tables = [folder / "q.parquet", folder / "r.parquet"]
    export_queries(source, split, [folder / "1-of-1.parquet"], *tables, folder / "split.json")
    exported = read_rows(folder / "1-of-1.parquet", "corpus").to_pylist()
    assert exported == [{"doc_id": each, "text": text.strip()} for each, text in rows]
    assert read_json(folder / "corpus.json")["source"] == source
    assert [row["doc_id"] for row in read_rows(tables[1], "qrels").to_pylist()] == ids
    assert not list(folder.parent.parent.glob("pwned"))


# A tab within the query's id makes four columns of three, which read as TREC's with another query.
@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("q\t1", "'test': the qrels judge passages for the query 'q', which is not among"),
        ("q\n1", r"test\.tsv:1: found 1 column.s. in 'q'"),
        ("q\r\n1", r"test\.tsv:1: found 1 column.s. in 'q'"),
    ],
)
def test_an_id_that_a_table_between_tabs_cannot_carry_is_told(tmp_path, wrong, said):
    (tmp_path / "qrels").mkdir()
    (tmp_path / "corpus.jsonl").write_text(json.dumps({"_id": "d", "text": "x"}))
    (tmp_path / "queries.jsonl").write_text(json.dumps({"_id": wrong, "text": "x"}))
    (tmp_path / "qrels/test.tsv").write_text(f"{wrong}\td\t1\n", newline="")
    out = tmp_path / "out"
    export_corpus(str(tmp_path), None, [out / "1-of-1.parquet"], out / "corpus.json")
    with pytest.raises(BackfireError, match=said):
        export_queries(
            str(tmp_path), "test", [out / "1-of-1.parquet"], out / "q.parquet", out / "r.parquet", out / "s.json"
        )


FORBIDDEN_MODULES = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__"}
FORBIDDEN_METHODS = {
    ("os", "system"), ("os", "popen"), ("torch", "load"), ("pd", "read_pickle"), ("pandas", "read_pickle"),
    ("subprocess", "getoutput"), ("subprocess", "getstatusoutput"), ("tempfile", "mktemp"), ("np", "save"),
}  # fmt: skip


def findings(tree):
    """What of a module may hand text to a shell, or run what it reads."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            yield from (name for name in names if name.split(".")[0] in FORBIDDEN_MODULES)
        if not isinstance(node, ast.Call):
            continue
        called = node.func
        if isinstance(called, ast.Name) and called.id in FORBIDDEN_CALLS:
            yield called.id
        if isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name):
            pair = (called.value.id, called.attr)
            if pair in FORBIDDEN_METHODS or pair[0] == "os" and pair[1].startswith(("exec", "spawn")):
                yield ".".join(pair)
            if pair == ("yaml", "load") and "SafeLoader" not in ast.dump(node):
                yield "yaml.load"
        for option in node.keywords:
            allowed = isinstance(option.value, ast.Constant) and option.value.value is False
            if option.arg in {"shell", "trust_remote_code", "allow_pickle"} and not allowed:
                yield option.arg
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            keys = [key.value for key in node.keys if isinstance(key, ast.Constant)]
            yield from (key for key in keys if key in {"trust_remote_code", "allow_pickle"})


def test_nothing_runs_what_it_reads_or_hands_it_to_a_shell(root):
    files = [*(root / "workflow/lib").rglob("*.py"), *(root / "workflow/scripts").glob("*.py")]
    assert len(files) > 100
    found = {path.relative_to(root).as_posix(): list(findings(ast.parse(path.read_text()))) for path in files}
    assert {path: what for path, what in found.items() if what} == {}
    for rules in [root / "Snakefile", *(root / "workflow/rules").glob("*.smk")]:
        # Rules run scripts; a shell would see wildcards and paths as text.
        assert not re.search(r"^\s*(shell|run):|\beval\(|\bexec\(|os\.system", rules.read_text(), re.MULTILINE), rules


@pytest.mark.parametrize(
    "code",
    [
        "import pickle", "from joblib import load", "eval(x)", "os.system(x)", "subprocess.run(x, shell=True)",
        "os.execv(x)", "torch.load(x)", "yaml.load(x, yaml.Loader)", "f(trust_remote_code=True)",
        "f(**{'trust_remote_code': True})",
        "np.load(x, allow_pickle=True)",
    ],
)  # fmt: skip
def test_the_search_for_such_code_finds_it(code):
    assert list(findings(ast.parse(code)))
