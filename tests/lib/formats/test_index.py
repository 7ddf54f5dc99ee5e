"""Index files are whole, keep their class and parameters, or are refused."""

import faiss
import numpy as np
import pytest

from backfire.errors import BackfireError
from backfire.formats.index import faiss_reason, read_index, write_index
from backfire.retrieval.index import build_index

VECTORS = np.random.default_rng(0).normal(size=(300, 16)).astype(np.float32)


@pytest.mark.parametrize("factory", ["Flat", "HNSW8;efSearch=77", "IVF4,Flat;nprobe=3", "SQ8"])
def test_index_finds_the_same_after_a_round_trip(tmp_path, factory):
    index = build_index(VECTORS, factory)
    write_index(tmp_path / "1-of-1.faiss", index)
    read = read_index(tmp_path / "1-of-1.faiss")
    assert isinstance(read, type(index))
    assert getattr(read, "nprobe", 3) == 3
    assert not hasattr(read, "hnsw") or read.hnsw.efSearch == 77
    for before, after in zip(index.search(VECTORS[:9], 20), read.search(VECTORS[:9], 20), strict=True):
        np.testing.assert_array_equal(before, after)
    assert [path.name for path in tmp_path.iterdir()] == ["1-of-1.faiss"]


def test_same_vectors_give_the_same_bytes(tmp_path):
    for factory in ("Flat", "IVF4,Flat"):
        for name in ("a", "b"):
            write_index(tmp_path / name, build_index(VECTORS, factory))
        assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_missing_cut_and_foreign_files(tmp_path):
    path = tmp_path / "1-of-2.faiss"
    with pytest.raises(BackfireError, match=r"1-of-2\.faiss: not a readable FAISS index \(No such file"):
        read_index(path)
    write_index(path, build_index(VECTORS, "Flat"))
    whole = path.read_bytes()
    for content in (whole[:1000], b"", b"hello, this is no index at all"):
        path.write_bytes(content)
        with pytest.raises(BackfireError, match=r"1-of-2\.faiss: its bytes are not those") as caught:
            read_index(path)
        assert "delete it and run again" in caught.value.hint


def test_another_tool_reads_the_index_behind_which_the_checksum_stands(tmp_path):
    for factory in ("Flat", "HNSW8"):
        path = tmp_path / f"{factory}.faiss"
        write_index(path, build_index(VECTORS, factory), 7)
        read = faiss.read_index(str(path))
        np.testing.assert_array_equal(read.search(VECTORS[:9], 5)[1], read_index(path).search(VECTORS[:9], 5)[1])
        assert faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC).ntotal == len(VECTORS)


def test_index_of_other_embeddings_is_refused(tmp_path):
    path = tmp_path / "1-of-2.faiss"
    write_index(path, build_index(VECTORS, "Flat"), 7)
    assert read_index(path, 7).ntotal == read_index(path).ntotal == len(VECTORS)
    with pytest.raises(BackfireError, match=r"1-of-2\.faiss: the index was built from other embeddings.*\nHint: "):
        read_index(path, 8)
    write_index(path, build_index(VECTORS, "Flat"))
    assert read_index(path, 8).ntotal == len(VECTORS)


def test_index_that_cannot_be_written_leaves_nothing_behind(tmp_path):
    with pytest.raises(RuntimeError):
        # FAISS has no file form for this kind of index.
        write_index(tmp_path / "1-of-1.faiss", faiss.IndexShards(16))
    assert list(tmp_path.iterdir()) == []


def test_reason_without_the_position_in_the_sources():
    raw = "Error in void faiss::f(const char*) at /project/faiss/io.cpp:69: Error: 'f' failed: could not open x"
    assert faiss_reason(RuntimeError(raw)) == "could not open x"
    bare = "Error in faiss::Index* g(int) at /project/faiss/index_factory.cpp:823: Error: 'metric == METRIC_L2' failed"
    assert faiss_reason(RuntimeError(bare)) == "Error: 'metric == METRIC_L2' failed"
    assert faiss_reason(RuntimeError("out of memory")) == "out of memory"
