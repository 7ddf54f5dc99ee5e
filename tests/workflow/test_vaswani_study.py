"""Trained on one domain, judged on another: a folder of human judgments, against figures computed independently."""

from dataclasses import replace
from pathlib import Path

import pytest

from backfire.formats.atomic import read_json
from backfire.formats.tables import read_rows

pytestmark = pytest.mark.workflow

# sentence-transformers and ir_measures, fp32, 256 tokens, the whole corpus.
REFERENCE = {"RR@10": 0.67716, "nDCG@10": 0.43351, "R@100": 0.60742}


def test_forgetting_is_measured_on_a_folder_and_base_matches_its_reference(clone, root, tmp_path, overlay):
    folder = Path(root).parent / "shared/data/vaswani"
    place = overlay({"collections": {"vaswani": {"corpus": str(folder), "splits": {"test": "test"}}}})
    study = replace(clone, study=clone.source / "studies/vaswani.yaml").elsewhere(tmp_path / "work")
    study.succeed(overlays=(clone.source / "tests/studies/vaswani.yaml", *place))

    manifest = read_json(study.directory / "data/vaswani/manifest.json")
    assert manifest["corpus"]["kept"] == 11429
    assert manifest["splits"]["test"]["queries"]["kept"] == 93
    results = study.directory / "results/vaswani"
    rows = read_rows(results / "comparison.parquet", "comparison").to_pylist()
    judged = {(row["variant"], row["measure"]): row for row in rows if row["collection"] == "vaswani"}
    for measure, value in REFERENCE.items():
        assert judged["base", measure]["mean"] == pytest.approx(value, abs=5e-4)
    assert judged["full_bm25", "RR@10"]["queries"] == 93
    page = (results / "report.html").read_text()
    assert "0.67716" in page and "0.43351" in page
