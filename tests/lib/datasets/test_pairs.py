"""Files of pairs, by example; docs/pairs.md is rendered from these very files.

`python tests/lib/datasets/test_pairs.py` writes the page again.
"""

import gzip
import io
import json
import re
import tempfile
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from backfire.datasets.pairs import first_pairs, read_pairs, split_by_hash
from backfire.datasets.pydocs import collection_file
from backfire.datasets.rows import count_rows
from backfire.datasets.sources import PARTS, is_folder, is_pairs
from backfire.errors import BackfireError
from backfire.formats.atomic import read_json
from backfire.formats.tables import read_rows

PAGE = Path(__file__).parents[3] / "docs/pairs.md"
INTRO = """# A file of pairs

<!-- Rendered by tests/lib/datasets/test_pairs.py from the files that it tests; edit those. -->

Whoever has pairs of a query and a passage that answers it, and no collection, names the file:

```yaml
study: mine
collections:
  pydocs: null
  mine: {corpus: pairs.csv, train: train, splits: {dev: dev, test: test}}
train_on: mine
primary: {collection: mine, split: test, measure: RR@10}
```

`snakemake --cores 8 --configfile mine.yaml` then answers whether fine-tuning on these pairs helps, on queries of the
file that were held out. Its distinct passages become the corpus, its distinct queries are split by a hash of their
text into `train`, `dev` and `test`, near-duplicate queries on one side (Jaccard similarity of word triples of 0.8 or
more), and each pair is a judgment. `held_out: {dev: 0.1, test: 0.2}` sets the shares. A row more or less moves no
other query to another split, unless it ties two of them together. A data set saved with splits
(`DatasetDict.save_to_disk`) keeps its own.

A data set of the hub is named as `corpus: hf:owner/name`, with a subset as `hf:owner/name/subset`, with a revision as
`hf:owner/name@revision`. It is fetched once, whole files of data alone (Parquet, JSON, CSV, text; no script runs),
which `datasets` reads; one with several splits keeps them, one with a single split is split by the hash. Its commit
stands in the manifest and in the report. Without a network the hub's cache on this machine serves.

Ids are the first 16 digits of the SHA-256 of a text, so the same text has the same id everywhere, and a query that is
a passage has the passage's. Outer white space is cut. `data/<collection>/manifest.json` and the log of `read_pairs`
tell which columns were taken and which were not read.

Memory holds the texts of the file and the word triples of its queries: 270 MiB for the 27,003 pairs of pydocs (26 MiB
of text, 4 s). The search for near-duplicates is exact; queries made by a template, which share their rarest words,
take time that grows with the square of their number.

The corpus is the passages of the file alone. That is an easier search than one among all the documents that you have:
where there is a whole corpus, write a folder (see [What is read](inputs.md)).

Passages that are judged not relevant (a column of negatives, a grade of 0) are in the corpus; `triples: {own:
{negatives: judged, size: null}}` trains on them. Where a row draws as a negative what another row calls an answer, it
is an answer.

All these files give the same two queries and their passages. Columns go by their usual names, in any case of letters:
{names}. Others are named: `columns: {query: ask, passage: reply, negative: [other_1, other_2], grade: stars}`.
"""

QUERIES = ("what holds water", "what lifts boats")
PASSAGES = ("Sluices hold water.", "Locks lift boats.")
ROWS = list(zip(QUERIES, PASSAGES, strict=True))


def lines(*records):
    return "".join(json.dumps(record) + "\n" for record in records)


def named(query, passage, rows=ROWS, **more):
    return lines(*({query: left, passage: right} | more for left, right in rows))


def parquet(**columns):
    stream = io.BytesIO()
    pq.write_table(pa.table(columns), stream)
    return stream.getvalue()


READ = {
    "sentence-transformers": ("pairs.jsonl", named("anchor", "positive")),
    "questions and answers": ("pairs.jsonl", named("question", "answer")),
    "comma-separated": ("pairs.csv", "query,passage,source\n" + "".join(f'{q},"{p}",web\n' for q, p in ROWS)),
    "tab-separated": ("pairs.tsv", "Query\tPositive\n" + "".join(f"{q}\t{p}\n" for q, p in ROWS)),
    "packed": ("pairs.jsonl.gz", gzip.compress(named("query", "document").encode())),
    "Parquet": ("pairs.parquet", parquet(anchor=QUERIES, positive=PASSAGES)),
    "lists": ("pairs.jsonl", lines(*({"query": q, "pos": [p, p], "neg": []} for q, p in ROWS))),
    "records": (
        "pairs.jsonl",
        lines(*({"query": q, "positive_passages": [{"title": "", "text": p}]} for q, p in ROWS)),
    ),
    "grades": ("pairs.csv", "sentence1,sentence2,label\n" + "".join(f'{q},"{p}",1\n' for q, p in ROWS)),
}

REFUSED = {
    "no known name": ("pairs.jsonl", named("ask", "reply")),
    "two answers": ("pairs.jsonl", lines({"question": "q", "context": "c", "answer": "a"})),
    "no header": ("pairs.csv", "what holds water,Sluices hold water.\n"),
    "an empty passage": ("pairs.jsonl", named("query", "passage", [*ROWS, ("what is empty", " ")])),
    "a score that is no grade": ("pairs.jsonl", named("sentence1", "sentence2", score=0.73)),
    "nothing that answers": ("pairs.jsonl", named("query", "passage", label=0)),
    "a passage that is a number": ("pairs.jsonl", lines({"query": "q", "passage": 7})),
    "a corpus": ("corpus.jsonl", lines({"_id": "01", "title": "Sluices", "text": "They hold water."})),
}


def written(folder, name, content):
    path = Path(folder, name)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def collection(source, folder, named=None, held_out=None):
    """What a file gives: passages, {split: queries}, {split: [(query, passage, grade)]}, and the manifest."""
    folder = Path(folder)
    queries, qrels = ({part: str(folder / f"{what}-{part}.parquet") for part in PARTS} for what in ("q", "j"))
    manifest = str(folder / "manifest.json")
    shares = held_out or {"dev": 0.1, "test": 0.2}
    read_pairs(source, named, shares, str(folder / "corpus.parquet"), queries, qrels, manifest)
    texts = {row["doc_id"]: row["text"] for row in read_rows(folder / "corpus.parquet", "corpus").to_pylist()}
    passages = list(texts.values())
    asked, judged = {}, {}
    for part in PARTS:
        rows = read_rows(queries[part], "queries").to_pylist()
        asked[part] = [row["text"] for row in rows]
        texts |= {row["query_id"]: row["text"] for row in rows}
        rows = read_rows(qrels[part], "qrels").to_pylist()
        judged[part] = [(texts[row["query_id"]], texts[row["doc_id"]], row["relevance"]) for row in rows]
    return passages, asked, judged, read_json(manifest)


def refusal(source, folder):
    with pytest.raises(BackfireError) as caught:
        collection(source, folder)
    return str(caught.value).replace(f"{folder}/", "")


def page():
    from backfire.datasets.rows import NAMES

    names = "; ".join(f"{part}: {', '.join(map('`{}`'.format, found))}" for part, found in NAMES.items())
    names += "; passages that do not answer: `negative`, `neg`, `negative_1`, `negatives`, ..."
    rows = ["", "| file | name | begins with |", "|---|---|---|"]
    for name, (file, content) in READ.items():
        begins = "" if isinstance(content, bytes) else f"`{content.splitlines()[0]}`".replace("\t", " ⇥ ")
        rows.append(f"| {name} | `{file}` | {begins} |")
    rows += ["", "| refused | what is said |", "|---|---|"]
    for name, (file, content) in REFUSED.items():
        with tempfile.TemporaryDirectory() as folder:
            said = refusal(written(folder, file, content), folder).replace("|", "\\|").replace("\n", " ")
        rows.append(f"| {name} | {said} |")
    return INTRO.replace("{names}", names) + "\n".join(rows) + "\n"


@pytest.mark.parametrize("name", READ)
def test_a_file_is_read(name, tmp_path):
    source = written(tmp_path, *READ[name])
    assert is_pairs(source) and not is_folder(source)
    passages, asked, judged, manifest = collection(source, tmp_path)
    assert passages == list(PASSAGES)
    assert sorted(sum(asked.values(), [])) == sorted(QUERIES)
    assert sorted(sum(judged.values(), [])) == sorted((query, passage, 1) for query, passage in ROWS)
    assert {each["judgments"] for each in manifest["splits"].values()} <= {0, 1, 2}
    assert first_pairs(source, None, 1)[0][:2] == ROWS[0]
    assert 2 <= count_rows(source) <= 3


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_is_refused_with_what_is_there(name, tmp_path):
    assert re.search(r"\nHint: .{20}", refusal(written(tmp_path, *REFUSED[name]), tmp_path))


def test_the_page_shows_these_files():
    assert PAGE.read_text(encoding="utf-8") == page(), "run python tests/lib/datasets/test_pairs.py"


def test_columns_may_be_named(tmp_path):
    source = written(tmp_path, "pairs.jsonl", named("ask", "reply", stars=1, other="Weirs.", score=0.5))
    columns = {"query": "ask", "passage": "reply", "negative": "other", "grade": False}
    passages, _, judged, manifest = collection(source, tmp_path, columns)
    assert set(passages) == {*PASSAGES, "Weirs."}
    assert Counter(grade for rows in judged.values() for _, _, grade in rows) == {1: 2, 0: 2}
    assert manifest["columns"] == {"query": "ask", "passage": "reply", "negatives": ["other"]}
    with pytest.raises(BackfireError, match="there is no 'replies', did you mean 'reply'"):
        collection(source, tmp_path, columns | {"passage": "replies"})


def test_an_answer_stays_one_where_another_row_draws_it_as_a_negative(tmp_path):
    rows = [{"query": "q", "passage": "a", "negative": "b"}, {"query": "q", "passage": "b", "negative": "c"}]
    _, _, judged, manifest = collection(written(tmp_path, "pairs.jsonl", lines(*rows, rows[0])), tmp_path)
    assert sorted(sum(judged.values(), [])) == [("q", "a", 1), ("q", "b", 1), ("q", "c", 0)]
    # b as a negative of q, once before and once after it was an answer, and a and b in the row that is there twice.
    assert (manifest["read"], manifest["repeated"]) == (6, 3)


@pytest.fixture(scope="module")
def docstrings():
    """Two thousand docstrings: their first paragraphs and the rest."""
    records = [json.loads(line) for line in collection_file().open(encoding="utf-8")]
    return [(record["query"].strip(), record["text"].strip()) for record in records[::13]][:2000]


def test_splits_have_their_shares_and_do_not_depend_on_order(docstrings):
    texts = [query for query, _ in docstrings]
    shares = {"dev": 0.1, "test": 0.2}
    split = split_by_hash(texts, shares)
    counts = Counter(split.values())
    distinct = len(set(texts))
    for part, share in (("dev", 0.1), ("test", 0.2), ("train", 0.7)):
        # Five standard deviations of a draw without groups.
        assert abs(counts[part] - share * distinct) < 5 * (share * (1 - share) * distinct) ** 0.5
    assert split_by_hash(texts[::-1], shares) == split
    fewer = split_by_hash(texts[:1000], shares)
    moved = [text for text in fewer if fewer[text] != split[text]]
    assert len(moved) < 0.01 * len(fewer), "only those that a text of the other half ties to others"


def test_near_duplicate_queries_are_on_one_side(docstrings):
    # One word more of ten: 8 of 9 word triples are the same.
    long = [query for query, _ in docstrings if len(query.split()) >= 12][:300]
    copies = [f"{query} again" for query in long]
    split = split_by_hash([*long, *copies], {"dev": 0.1, "test": 0.4})
    assert all(split[query] == split[copy] for query, copy in zip(long, copies, strict=True))
    assert len(set(split.values())) == 3


def test_a_saved_data_set_is_read_as_a_file_is(docstrings, tmp_path):
    from datasets import Dataset, DatasetDict

    rows = [{"anchor": query, "positive": passage} for query, passage in docstrings[:90]]
    Dataset.from_list(rows).save_to_disk(tmp_path / "saved")
    source = written(tmp_path, "pairs.jsonl", lines(*rows))
    (tmp_path / "a").mkdir()
    assert is_pairs(str(tmp_path / "saved")) and count_rows(str(tmp_path / "saved")) == 90
    assert collection(str(tmp_path / "saved"), tmp_path / "a")[:3] == collection(source, tmp_path / "a")[:3]

    parts = {"train": Dataset.from_list(rows[:60]), "validation": Dataset.from_list(rows[60:70])}
    DatasetDict(parts | {"test": Dataset.from_list([*rows[70:], rows[0]])}).save_to_disk(tmp_path / "splits")
    _, asked, _, manifest = collection(str(tmp_path / "splits"), tmp_path / "a")
    queries = [row["anchor"] for row in rows]
    # "test" comes first by name, and with it the query that stands in both.
    assert set(asked["test"]) == {*queries[70:], queries[0]}
    assert set(asked["train"]) == {*queries[:60]} - set(asked["test"])
    assert set(asked["dev"]) == {*queries[60:70]} - set(asked["test"]) - set(asked["train"])
    assert manifest["held out"] is None


def test_a_saved_split_of_another_name_is_refused(tmp_path):
    from datasets import Dataset, DatasetDict

    DatasetDict(trian=Dataset.from_list([{"anchor": "q", "positive": "p"}])).save_to_disk(tmp_path / "splits")
    with pytest.raises(BackfireError, match="has a split 'trian', did you mean 'train'"):
        collection(str(tmp_path / "splits"), tmp_path)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
