"""Files that were damaged behind our back: each is told by name with what to do, or reads as what was written."""

import hashlib
import json

import faiss
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backfire.errors import BackfireError
from backfire.formats.atomic import read_json, write_json
from backfire.formats.embeddings import (
    iterate_embeddings,
    read_embedding_ids,
    read_embeddings,
    read_norms,
    write_embeddings,
)
from backfire.formats.index import read_index, write_index
from backfire.formats.schemas import SCHEMAS
from backfire.formats.tables import iterate_rows, read_rows, write_batches, write_rows
from backfire.formats.trec import checksum_file, read_run, write_run
from backfire.retrieval.index import build_index

IDS = [f"d{row}" for row in range(40)]
VECTORS = np.random.default_rng(0).normal(size=(40, 8)).astype(np.float32)


def example(field, row):
    """A value that fits a column; some are missing, as some are in real tables."""
    if pa.types.is_list(field.type):
        return ["one", "zażółć"] if pa.types.is_string(field.type.value_type) else [101, row, 102]
    if pa.types.is_string(field.type):
        return f"{field.name} {row}"
    if pa.types.is_boolean(field.type):
        return row % 2 == 0
    if pa.types.is_floating(field.type):
        return None if row == 3 else row / 7
    return row


def write_table(path, kind):
    rows = [{field.name: example(field, row) for field in SCHEMAS[kind]} for row in range(12)]
    if kind == "dynamics":
        rows = [row | {"dev_RR@10": 0.25} for row in rows]
        write_rows(path, kind, rows)
    else:
        write_batches(path, kind, [rows[:5], rows[5:]])


def write_ranking(path):
    ranking = [(doc_id, 1 - place / 64) for place, doc_id in enumerate(IDS[:12])]
    write_run(path, [("q 1", ranking), ("q2", ranking[:5])], "base-seed-0")


def searched(path):
    """What an index answers, and all that tells it from another."""
    index = read_index(path)
    scores, places = index.search(VECTORS[:5], 10)
    return type(index), index.ntotal, scores.tobytes(), places.tobytes()


def vectors(path, source=read_embeddings, **options):
    read = source(path, "doc_id", **options)
    pieces = [read] if isinstance(read, tuple) else list(read)
    return [(ids, matrix.shape, matrix.tobytes()) for ids, matrix in pieces]


# Name of the file: how it is written, and every way in which jobs read it.
FORMATS = {
    **{
        f"{kind}.parquet": (
            lambda path, kind=kind: write_table(path, kind),
            [
                lambda path, kind=kind: read_rows(path, kind).to_pylist(),
                lambda path, kind=kind: read_rows(path, kind, [SCHEMAS[kind].names[0]]).to_pylist(),
            ],
        )
        for kind in SCHEMAS
    },
    "shard.parquet": (
        lambda path: write_table(path, "corpus"),
        [lambda path: [row for batch in iterate_rows(path, "corpus", 3) for row in batch.to_pylist()]],
    ),
    "embeddings.parquet": (
        lambda path: write_embeddings(path, "doc_id", IDS, VECTORS),
        [
            vectors,
            lambda path: vectors(path, iterate_embeddings, rows=7),
            lambda path: read_embedding_ids(path, "doc_id"),
            lambda path: read_norms(path, "doc_id").tobytes(),
        ],
    ),
    "Flat.faiss": (lambda path: write_index(path, build_index(VECTORS, "Flat"), 7), [searched]),
    "HNSW.faiss": (lambda path: write_index(path, build_index(VECTORS, "HNSW8"), 7), [searched]),
    "test.trec": (write_ranking, [read_run]),
    "manifest.json": (
        lambda path: write_json(path, {"kept": 1234, "rate": 0.25, "of": {"é": ["a", None]}}),
        [read_json],
    ),
}
# Tables differ in their columns only; these hold every type of column.
SOME = [name for name in FORMATS if name.split(".")[0] not in SCHEMAS or name in {"moved.parquet", "triples.parquet"}]


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    faiss.omp_set_num_threads(1)


class Whole:
    """A file as its writer left it, and what its readers give."""

    def __init__(self, folder, name):
        write, self.readers = FORMATS[name]
        self.path = folder / name
        write(self.path)
        self.content = self.path.read_bytes()
        self.expected = [read(self.path) for read in self.readers]

    def check(self, content: bytes) -> int:
        """How many readers refuse this content; the others must give what was written."""
        self.path.write_bytes(content)
        refused = 0
        for read, expected in zip(self.readers, self.expected, strict=True):
            try:
                assert read(self.path) == expected
            except BackfireError as error:
                assert str(self.path) in error.message
                assert str(error).splitlines()[-1].startswith("Hint: ")
                assert "delete" in error.hint
                refused += 1
        return refused


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    made = {}

    def make(name) -> Whole:
        if name not in made:
            made[name] = Whole(tmp_path_factory.mktemp("damage"), name)
        return made[name]

    return make


@pytest.mark.parametrize("name", FORMATS)
def test_a_byte_that_changed_anywhere_is_told_or_without_effect(whole, name):
    file = whole(name)
    assert file.check(file.content) == 0
    places = range(0, len(file.content), (1 + len(file.content) // 2500) if name in SOME else 23)
    refused = 0
    for place in places:
        content = bytearray(file.content)
        content[place] ^= 1 << place % 8 if place % 5 else 0xFF - place % 7
        refused += file.check(content) > 0
    assert refused > 0.9 * len(places)


@pytest.mark.parametrize("name", SOME)
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_any_damage_is_told_or_without_effect(whole, name, data):
    file = whole(name)
    content = bytearray(file.content)
    place = st.integers(0, len(content) - 1)
    for _ in range(data.draw(st.integers(1, 3))):
        start, length = data.draw(place), data.draw(st.integers(1, 64))
        kind = data.draw(st.sampled_from(["change", "zeros", "move", "remove", "insert"]))
        if kind == "change":
            content[start : start + 1] = bytes([data.draw(st.integers(0, 255))])
        elif kind == "zeros":
            content[start : start + length] = bytes(len(content[start : start + length]))
        elif kind == "move":
            content[start : start + length] = content[data.draw(place) :][:length]
        elif kind == "remove":
            del content[start : start + length]
        else:
            content[start:start] = data.draw(st.binary(max_size=64))
        content = content or bytearray(b"\0")
        place = st.integers(0, len(content) - 1)
    file.check(content)


@pytest.mark.parametrize("name", SOME)
def test_a_file_that_was_cut_short_anywhere_is_refused(whole, name):
    file = whole(name)
    # JSON ends with a line break that says nothing.
    whole_length = len(file.content.rstrip(b"\n")) if name.endswith("json") else len(file.content)
    for length in range(0, whole_length, 1 + whole_length // 1000):
        assert file.check(file.content[:length]) == len(file.readers), length


@pytest.mark.parametrize("name", SOME)
def test_the_content_of_another_format_is_refused(whole, name):
    file = whole(name)
    for other in [*SOME, None]:
        # What kind of index it is, the configuration says.
        if other is None or other != name and {name, other} != {"Flat.faiss", "HNSW.faiss"}:
            content = whole(other).content if other else b"hello, this is none of them\n"
            assert file.check(content) == len(file.readers), other


def test_page_checksums_alone_would_not_do(tmp_path):
    """They leave out page headers, where another encoding turns values into others, unseen."""
    path = tmp_path / "a.parquet"
    table = pa.table({"value": pa.array(np.arange(8, dtype=np.float32))})
    pq.write_table(table, path, compression="none", use_dictionary=False, write_page_checksum=True, store_schema=False)
    content, silent = path.read_bytes(), []
    for place in range(4, 60):
        path.write_bytes(content[:place] + bytes([content[place] ^ 0x12]) + content[place + 1 :])
        try:
            if not pq.read_table(path, page_checksum_verification=True).equals(table):
                silent.append(place)
        except (OSError, pa.ArrowException):
            continue
    assert silent


def test_a_table_that_another_tool_wrote_is_read_without_a_check(tmp_path):
    write_rows(tmp_path / "a.parquet", "qrels", [{"query_id": "q", "doc_id": "d", "relevance": 1}])
    pq.write_table(pq.read_table(tmp_path / "a.parquet").replace_schema_metadata(), tmp_path / "b.parquet")
    assert read_rows(tmp_path / "b.parquet", "qrels") == read_rows(tmp_path / "a.parquet", "qrels")


def test_a_run_is_told_by_its_checksum_and_where_there_is_none_by_what_its_lines_lack(tmp_path):
    path = tmp_path / "test.trec"
    write_ranking(path)
    content, expected = path.read_bytes(), read_run(path)
    checksum_file(path).unlink()
    assert read_run(path) == expected
    lines = content.splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:3] + lines[4:]))
    with pytest.raises(BackfireError, match=r"test\.trec:4: rank 5 stands in place 4 of query 'q 1'"):
        read_run(path)
    # What no other tool could tell: another passage, another score, fewer lines at the end.
    for changed in (content.replace(b" d3 ", b" d9 "), content.replace(b"0.984375", b"0.994375"), b"".join(lines[:-1])):
        path.write_bytes(changed)
        assert read_run(path) != expected
        checksum_file(path).write_text("0" * 64)
        with pytest.raises(BackfireError, match=r"its bytes are not those it was written with \(test\.trec\.sha256"):
            read_run(path)
        checksum_file(path).unlink()


def test_the_checksum_of_a_run_is_what_sha256sum_writes_and_never_another_ones(tmp_path):
    path = tmp_path / "test.trec"
    write_ranking(path)
    assert checksum_file(path).read_text() == f"{hashlib.sha256(path.read_bytes()).hexdigest()}  test.trec\n"
    write_run(path, [("q", [("d", 0.5)])], "other")
    assert read_run(path) == {"q": [("d", 0.5)]}
    assert sorted(file.name for file in tmp_path.iterdir()) == ["test.trec", "test.trec.sha256"]


def test_json_keeps_its_checksum_when_it_is_laid_out_anew(tmp_path):
    path = tmp_path / "manifest.json"
    write_json(path, {"b": 1, "a": {"2": 0.1, "10": "é"}})
    path.write_text(json.dumps(dict(reversed(json.loads(path.read_text()).items()))))
    assert read_json(path) == {"b": 1, "a": {"2": 0.1, "10": "é"}}
    path.write_text(path.read_text().replace("0.1", "0.2"))
    with pytest.raises(BackfireError, match=r"manifest\.json: its content is not what was written"):
        read_json(path)
