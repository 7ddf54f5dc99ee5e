"""Real text for mining: documentation of Python with queries, in any number of shards, embedded by the real model."""

import numpy as np
import pyarrow as pa
import pytest

from backfire.datasets.load import load_corpus, load_split
from backfire.encoders.encoder import load_encoder
from backfire.encoders.encoding import encode
from backfire.formats.embeddings import write_embeddings
from backfire.formats.tables import write_rows
from backfire.retrieval.index import index_shard

PASSAGES, QUERIES = 300, 40


@pytest.fixture(scope="session")
def pydocs():
    """Passages (id, text) and queries (id, text) of pydocs; every tenth passage is there again under another id."""
    passages = [(doc.doc_id, doc.default_text()) for doc in load_corpus("pydocs").docs_iter()[: 80 * PASSAGES : 80]]
    passages += [(f"{doc_id}.again", text) for doc_id, text in passages[::10]]
    order = np.random.default_rng(0).permutation(len(passages))
    queries = [(q.query_id, q.default_text()) for q in load_split("pydocs", "pydocs/train").queries_iter()]
    return [passages[row] for row in order], queries[: 40 * QUERIES : 40]


@pytest.fixture(scope="session")
def vectors(pydocs, base_model):
    """The real model's vectors of the passages and of the queries."""
    encoder = load_encoder(str(base_model), "fp32")
    return [
        encode(encoder, [text for _, text in rows], kind, 32, 4096)
        for rows, kind in zip(pydocs, ("document", "query"), strict=True)
    ]


@pytest.fixture
def shards(pydocs, vectors, tmp_path):
    """A function that writes the collection in so many shards: lists of corpus, embedding and index files."""

    def write(count: int) -> dict[str, list[str]]:
        files = {"corpus": [], "embeddings": [], "indexes": []}
        for number, rows in enumerate(np.array_split(np.arange(len(pydocs[0])), count)):
            stem = str(tmp_path / f"{number}-of-{count}")
            ids, texts = zip(*(pydocs[0][row] for row in rows), strict=True)
            write_rows(f"{stem}.parquet", "corpus", pa.table({"doc_id": ids, "text": texts}))
            write_embeddings(f"{stem}.emb", "doc_id", list(ids), vectors[0][rows])
            index_shard(f"{stem}.emb", "Flat", f"{stem}.faiss")
            for name, ending in zip(files, ("parquet", "emb", "faiss"), strict=True):
                files[name].append(f"{stem}.{ending}")
        return files

    return write


@pytest.fixture
def queries(pydocs, vectors, tmp_path):
    """The tables of the queries and of their embeddings."""
    ids, texts = zip(*pydocs[1], strict=True)
    write_rows(tmp_path / "queries.parquet", "queries", pa.table({"query_id": ids, "text": texts}))
    write_embeddings(tmp_path / "queries.emb", "query_id", list(ids), vectors[1])
    return {"queries": str(tmp_path / "queries.parquet"), "embeddings": str(tmp_path / "queries.emb")}
