"""Trained on one domain, judged on another: a folder of human judgments, against figures computed independently.

`VASWANI=whole pytest tests/workflow/test_vaswani_study.py` takes all 11,429 passages, some of them CI.
"""

import os
from dataclasses import replace
from pathlib import Path

import ir_measures
import pytest

from backfire.formats.atomic import read_json
from backfire.formats.tables import read_rows

pytestmark = [pytest.mark.workflow, pytest.mark.long]

WHOLE, SOME = 11429, 2500
MEASURES = ("RR@10", "nDCG@10", "R@100")


def test_forgetting_is_measured_on_a_folder_and_base_matches_its_reference(
    clone, prepared_base, root, base_model, tmp_path, overlay
):
    size = WHOLE if os.environ.get("VASWANI") == "whole" else SOME
    folder = Path(root).parent / "shared/data/vaswani"
    place = overlay({"collections": {"vaswani": {"corpus": str(folder), "splits": {"test": "test"}, "size": size}}})
    study = replace(clone, study=clone.source / "studies/vaswani.yaml").elsewhere(tmp_path / "work")
    study.given(prepared_base).succeed(overlays=(clone.source / "tests/studies/vaswani.yaml", *place))

    data, results = study.directory / "data/vaswani", study.directory / "results/vaswani"
    manifest = read_json(data / "manifest.json")
    assert (manifest["corpus"]["kept"], manifest["corpus"]["read"]) == (size, WHOLE)
    queries = manifest["splits"]["test"]["queries"]["kept"]
    assert queries == 93 or size < WHOLE and queries > 80
    rows = read_rows(results / "comparison.parquet", "comparison").to_pylist()
    judged = {(row["variant"], row["measure"]): row for row in rows if row["collection"] == "vaswani"}
    assert judged["full_bm25", "RR@10"]["queries"] == queries
    assert judged["full_bm25", "RR@10"]["retention"] is not None
    for measure, value in reference(data, base_model).items():
        assert judged["base", measure]["mean"] == pytest.approx(value, abs=5e-4)


def reference(data: Path, base_model: Path) -> dict[str, float]:
    """Means of base by sentence-transformers and ir_measures: fp32, 256 tokens, the passages that were kept."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(base_model), device="cpu")
    assert model.max_seq_length == 256
    passages = [
        row
        for path in sorted((data / "corpus").glob("*.parquet"))
        for row in read_rows(path, "corpus", ["doc_id", "text"]).to_pylist()
    ]
    asked = read_rows(data / "queries/test.parquet", "queries").to_pylist()
    vectors, queries = (model.encode([row["text"] for row in rows], batch_size=64) for rows in (passages, asked))
    run = [
        ir_measures.ScoredDoc(query["query_id"], passages[place]["doc_id"], float(scores[place]))
        for query, scores in zip(asked, queries @ vectors.T, strict=True)
        for place in scores.argsort()[::-1][:200]
    ]
    qrels = [ir_measures.Qrel(*row.values()) for row in read_rows(data / "qrels/test.parquet", "qrels").to_pylist()]
    found = ir_measures.calc_aggregate([ir_measures.parse_measure(name) for name in MEASURES], qrels, run)
    return {str(measure): value for measure, value in found.items()}
