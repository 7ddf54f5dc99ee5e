"""Tables keep their columns, and what does not fit is refused with a readable error."""

import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from backfire.errors import BackfireError
from backfire.formats.embeddings import (
    EMBEDDING_ROWS,
    iterate_embeddings,
    read_embeddings,
    read_norms,
    write_embedding_batches,
    write_embeddings,
)
from backfire.formats.schemas import SCHEMAS
from backfire.formats.tables import iterate_rows, read_rows, write_batches, write_rows

QRELS = [{"query_id": "q1", "doc_id": "d1", "relevance": 2}, {"query_id": "q2", "doc_id": "d1", "relevance": -1}]


def example(field):
    """A value that fits a column."""
    if pa.types.is_string(field.type):
        return "zażółć\n"
    if pa.types.is_boolean(field.type):
        return True
    if pa.types.is_list(field.type):
        return ["one", "zażółć"] if pa.types.is_string(field.type.value_type) else [101, 7592, 102]
    return 3 if pa.types.is_integer(field.type) else 0.5


@pytest.mark.parametrize("kind", SCHEMAS)
def test_rows_survive_in_every_kind_of_table(tmp_path, kind):
    rows = [{field.name: example(field) for field in SCHEMAS[kind]}] * 3
    write_rows(tmp_path / "a.parquet", kind, rows)
    assert read_rows(tmp_path / "a.parquet", kind).to_pylist() == rows
    table = pa.Table.from_pylist(rows, schema=SCHEMAS[kind])
    write_rows(tmp_path / "b.parquet", kind, table)
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


@pytest.mark.parametrize("kind", SCHEMAS)
def test_empty_table_keeps_its_columns(tmp_path, kind):
    write_rows(tmp_path / "a.parquet", kind, [])
    table = read_rows(tmp_path / "a.parquet", kind)
    assert (len(table), table.schema.names) == (0, SCHEMAS[kind].names)


def test_dynamics_carries_development_measures(tmp_path):
    rows = [{**{field.name: example(field) for field in SCHEMAS["dynamics"]}, "dev_RR@10": 0.25}]
    write_rows(tmp_path / "a.parquet", "dynamics", rows)
    assert read_rows(tmp_path / "a.parquet", "dynamics").to_pylist() == rows


def test_value_that_does_not_fit_leaves_nothing_behind(tmp_path):
    for relevance in ("high", 2**40):
        with pytest.raises((pa.ArrowInvalid, pa.ArrowTypeError)):
            write_rows(tmp_path / "a.parquet", "qrels", [{**QRELS[0], "relevance": relevance}])
    assert list(tmp_path.iterdir()) == []


def test_columns_can_be_chosen(tmp_path):
    write_rows(tmp_path / "a.parquet", "qrels", QRELS)
    assert read_rows(tmp_path / "a.parquet", "qrels", ["doc_id"]).to_pylist() == [{"doc_id": "d1"}] * 2


def test_batches_are_written_and_read_piece_by_piece(tmp_path):
    batches = [[{"doc_id": f"{batch}-{row}", "text": "x"} for row in range(10)] for batch in range(4)]
    assert write_batches(tmp_path / "a.parquet", "corpus", iter(batches)) == 40
    assert pq.ParquetFile(tmp_path / "a.parquet").num_row_groups == 4
    read = list(iterate_rows(tmp_path / "a.parquet", "corpus", rows=7))
    assert max(batch.num_rows for batch in read) <= 7
    assert [row for batch in read for row in batch.to_pylist()] == [row for batch in batches for row in batch]


def test_failing_source_of_batches_leaves_nothing_behind(tmp_path):
    def batches():
        yield [{"doc_id": "d1", "text": "x"}]
        raise RuntimeError("source went away")

    with pytest.raises(RuntimeError, match="went away"):
        write_batches(tmp_path / "a.parquet", "corpus", batches())
    assert list(tmp_path.iterdir()) == []


def reads(path):
    """Every way to read a table of qrels."""
    return [lambda: read_rows(path, "qrels"), lambda: list(iterate_rows(path, "qrels"))]


def test_missing_cut_and_foreign_files(tmp_path):
    path = tmp_path / "a.parquet"
    for read in [*reads(path), lambda: read_embeddings(path, "doc_id")]:
        path.unlink(missing_ok=True)
        with pytest.raises(BackfireError, match=r"a\.parquet: not a readable Parquet file") as caught:
            read()
        assert "delete it and run again" in caught.value.hint
        write_rows(path, "qrels", QRELS)
        path.write_bytes(path.read_bytes()[:-20])
        with pytest.raises(BackfireError, match="not a readable Parquet file"):
            read()
        path.write_text("query_id,doc_id,relevance\n")
        with pytest.raises(BackfireError, match="not a readable Parquet file"):
            read()


@pytest.mark.parametrize(
    "columns",
    [
        {"query_id": ["q"], "doc_id": ["d"]},
        {"query_id": ["q"], "doc_id": ["d"], "relevance": ["1"]},
        {"query_id": ["q"], "doc_id": ["d"], "relevance": [1.0]},
        {"doc_id": ["d"], "query_id": ["q"], "relevance": pa.array([1], pa.int32())},
    ],
)
def test_other_columns_are_refused(tmp_path, columns):
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table(columns), path)
    for read in reads(path):
        with pytest.raises(BackfireError, match="expected the table 'qrels' with") as caught:
            read()
        assert "not written by this version of Backfire" in caught.value.hint


def test_embeddings_survive_bit_for_bit(tmp_path):
    vectors = np.random.default_rng(0).normal(size=(50, 384)).astype(np.float32)
    ids = [f"d{row}" for row in range(50)]
    write_embeddings(tmp_path / "a.parquet", "doc_id", ids, vectors)
    read_ids, read = read_embeddings(tmp_path / "a.parquet", "doc_id")
    assert read_ids == ids
    assert (read.dtype, read.tobytes()) == (np.float32, vectors.tobytes())
    # Any layout in memory gives the same file.
    write_embeddings(tmp_path / "b.parquet", "doc_id", ids, np.asfortranarray(vectors.astype(np.float64)))
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_norms_stand_last_and_are_the_lengths_of_vectors_that_nobody_scaled(tmp_path):
    vectors, norms = np.random.default_rng(0).normal(size=(2, 50, 8)).astype(np.float32)
    norms, ids, path = norms[:, 0] ** 2, [f"q{row}" for row in range(50)], tmp_path / "a.parquet"
    write_embeddings(path, "query_id", ids, vectors, norms=norms)
    assert pq.ParquetFile(path).schema_arrow.names == ["query_id", "embedding", "norm"]
    found = read_norms(path, "query_id")
    assert (found.dtype, found.tobytes()) == (np.float32, norms.tobytes())
    assert read_embeddings(path, "query_id")[1].tobytes() == vectors.tobytes()
    for extended, columns in ((False, 8), (True, 7)):
        write_embeddings(path, "query_id", ids, vectors, extended=extended)
        expected = np.linalg.norm(vectors[:, :columns].astype(np.float64), axis=1)
        np.testing.assert_allclose(read_norms(path, "query_id"), expected, rtol=1e-7)


def test_embeddings_are_written_and_read_in_pieces(tmp_path):
    rows = 2 * EMBEDDING_ROWS + 5
    vectors = np.random.default_rng(0).normal(size=(rows, 3)).astype(np.float32)
    ids, norms = [f"d{row}" for row in range(rows)], np.arange(rows, dtype=np.float32)
    write_embeddings(tmp_path / "whole.parquet", "doc_id", ids, vectors, norms=norms)
    cuts = [slice(0, EMBEDDING_ROWS), slice(EMBEDDING_ROWS, 2 * EMBEDDING_ROWS), slice(2 * EMBEDDING_ROWS, rows)]
    write_embedding_batches(tmp_path / "cut.parquet", "doc_id", ((ids[cut], vectors[cut], norms[cut]) for cut in cuts))
    assert (tmp_path / "whole.parquet").read_bytes() == (tmp_path / "cut.parquet").read_bytes()
    assert pq.ParquetFile(tmp_path / "cut.parquet").num_row_groups == 3
    assert np.array_equal(read_norms(tmp_path / "cut.parquet", "doc_id"), norms)
    for size in (1000, EMBEDDING_ROWS, EMBEDDING_ROWS + 7, rows, rows + 1):
        pieces = list(iterate_embeddings(tmp_path / "cut.parquet", "doc_id", size))
        assert [len(piece) for piece, _ in pieces[:-1]] == [size] * (len(pieces) - 1)
        assert [each for piece, _ in pieces for each in piece] == ids
        assert np.concatenate([matrix for _, matrix in pieces]).tobytes() == vectors.tobytes()


def test_no_embedding_at_all(tmp_path):
    with pytest.raises(ValueError, match="no batch, so no columns"):
        write_embedding_batches(tmp_path / "a.parquet", "query_id", [])
    assert list(tmp_path.iterdir()) == []
    write_embeddings(tmp_path / "a.parquet", "query_id", [], np.empty((0, 384), np.float32))
    ids, vectors = read_embeddings(tmp_path / "a.parquet", "query_id")
    assert (ids, vectors.shape) == ([], (0, 384))
    assert read_norms(tmp_path / "a.parquet", "query_id").shape == (0,)
    assert list(iterate_embeddings(tmp_path / "a.parquet", "query_id", 10)) == []


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_embedding_that_is_not_finite_is_named_and_not_written(tmp_path, value):
    vectors, norms = np.ones((3, 4), np.float32), np.ones(3, np.float32)
    vectors[1, 2] = norms[1] = value
    for given in ({"embeddings": vectors}, {"embeddings": np.ones((3, 4)), "norms": norms}):
        with pytest.raises(BackfireError, match="the embedding of doc_id 'b' is not finite") as caught:
            write_embeddings(tmp_path / "a.parquet", "doc_id", ["a", "b", "c"], **given)
        assert "encoding.precision" in caught.value.hint
        assert list(tmp_path.iterdir()) == []


def test_embeddings_of_something_else_are_refused(tmp_path):
    path = tmp_path / "a.parquet"
    write_embeddings(path, "doc_id", ["a"], np.ones((1, 4), np.float32))
    with pytest.raises(BackfireError, match="expected \\['query_id', 'embedding', 'norm'\\]"):
        read_embeddings(path, "query_id")
    values = pa.array([[1.0, 2.0]], pa.list_(pa.float32(), 2))
    columns = {"doc_id": ["a"], "embedding": values, "norm": pa.array([1.0], pa.float32())}
    pq.write_table(pa.table(columns), path)
    assert read_embeddings(path, "doc_id")[0] == ["a"]
    # As before there were norms, and with lists of any length.
    for others in ({"norm": None}, {"embedding": [[1.0, 2.0]]}):
        left = {name: value for name, value in (columns | others).items() if value is not None}
        pq.write_table(pa.table(left), path)
        for read in (read_embeddings, read_norms):
            with pytest.raises(BackfireError, match="with a fixed-size list"):
                read(path, "doc_id")


def test_a_fraction_does_not_fit_a_whole_column(tmp_path):
    with pytest.raises(pa.ArrowInvalid):
        write_rows(tmp_path / "q.parquet", "qrels", [{"query_id": "q", "doc_id": "d", "relevance": 0.5}])
    assert not list(tmp_path.iterdir())
