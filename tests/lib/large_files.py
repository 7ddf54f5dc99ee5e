"""A file of 2 MiB of every kind that jobs write, and how each is read."""

import os
import shutil

import numpy as np

from backfire.encoders.folders import contents
from backfire.formats.atomic import read_json, replacing, write_json
from backfire.formats.embeddings import read_embeddings, write_embeddings
from backfire.formats.index import read_index, write_index
from backfire.formats.tables import read_rows, write_rows
from backfire.formats.trec import read_run, write_run
from backfire.retrieval.index import build_index

LARGE = 2 << 20


def vectors(count):
    return np.full((count, 64), 0.125, np.float32)


def table(path):
    write_rows(path, "queries", [{"query_id": f"q{i}", "text": os.urandom(100).hex()} for i in range(LARGE // 100)])


def embeddings(path):
    write_embeddings(path, "doc_id", [f"d{i}" for i in range(LARGE // 256)], vectors(LARGE // 256))


def index(path):
    write_index(path, build_index(vectors(LARGE // 256), "Flat"))


def run_file(path):
    write_run(path, [("q", [(f"document {i}", 1.0) for i in range(LARGE // 20)])], "tag")


def weights(path):
    import torch
    from safetensors.torch import save_file

    with replacing(path) as folder:
        folder.mkdir()
        save_file({"weight": torch.zeros(LARGE // 4)}, folder / "model.safetensors")


def copy(path):
    source = path.parents[1] / "source"
    source.write_bytes(bytes(LARGE))
    with replacing(path) as temporary:
        shutil.copyfile(source, temporary)


WRITERS = [
    (table, "a.parquet"),
    (embeddings, "a.parquet"),
    (index, "a.faiss"),
    (run_file, "a.trec"),
    (lambda path: write_json(path, ["x" * LARGE]), "a.json"),
    (weights, "seed-0"),
    (copy, "a.model"),
]

READERS = [
    (table, lambda path: read_rows(path, "queries"), "a.parquet"),
    (embeddings, lambda path: read_embeddings(path, "doc_id"), "a.parquet"),
    (index, read_index, "a.faiss"),
    (run_file, read_run, "a.trec"),
    (lambda path: write_json(path, ["x" * LARGE]), read_json, "a.json"),
    (weights, contents, "seed-0"),
]
