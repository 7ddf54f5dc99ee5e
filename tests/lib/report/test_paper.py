"""The main table and the paragraph: numbers of the comparison, escaped for LaTeX, and no claim without its evidence."""

import csv
import re

from example_study import PRIMARY, VERDICTS, Example

from backfire.formats.tables import read_rows
from backfire.report.paper import latex, main_rows, paragraph, write_tables

MODEL = "sentence-transformers/all-MiniLM-L6-v2"
RULES = {"alpha": 0.05, "resamples": 10000, "flips": 100000, "power": 0.8, "margins": {"default": 0.01, "RR@10": 0.005}}


def rows(tmp_path, verdicts=VERDICTS, **options):
    study = Example(tmp_path, verdicts=dict(verdicts), **options)
    return main_rows(read_rows(study.comparison(), "comparison").to_pylist(), PRIMARY)


def test_the_paragraph_tells_every_claim_with_its_numbers(tmp_path):
    found = rows(tmp_path, VERDICTS | {"lora_bm25": "EQUIVALENT"})
    text = paragraph(found, MODEL, PRIMARY, RULES)
    for row in found[1:]:
        assert f"{row['variant']} ({row['delta']:+.4f}, 95 % interval {row['ci_low']:+.4f} to" in text
    assert "full_bm25 (" in text.split("was better.")[0]
    assert "full_hard (" in text.split("were worse.")[0] and "lora_hard (" in text.split("were worse.")[0]
    assert "was equivalent within 0.005." in text
    for words in ("250 queries", "adjusted for the 4 variants by step-down maxT", "100,000 random", "0.8 was 0.0310"):
        assert words in text
    assert text.endswith("One training seed: intervals and tests cover query sampling only.")


def test_seeds_inconclusive_results_and_a_single_variant(tmp_path):
    text = paragraph(rows(tmp_path, {"full_hard": "INCONCLUSIVE"}, seeds=3), MODEL, PRIMARY, RULES)
    assert "could not be told apart from it at this margin" in text and "of a single comparison" in text
    assert text.endswith("3 training seeds: intervals cover queries and seeds.")
    assert paragraph(rows(tmp_path, {}), MODEL, PRIMARY, RULES).startswith("Nothing was compared")


def test_files(tmp_path):
    study = Example(tmp_path)
    csv_path, tex, text = (tmp_path / f"main.{suffix}" for suffix in ("csv", "tex", "txt"))
    write_tables(study.comparison(), MODEL, PRIMARY, RULES, csv_path, tex, text)
    expected = main_rows(read_rows(study.path("comparison.parquet"), "comparison").to_pylist(), PRIMARY)
    with csv_path.open(encoding="utf-8", newline="") as stream:
        read = list(csv.DictReader(stream))
    assert [row["variant"] for row in read] == ["base", *VERDICTS]
    assert [float(row["delta"]) for row in read] == [row["delta"] for row in expected]
    assert (read[1]["queries_needed"], read[0]["queries_needed"], read[1]["seeds_needed"]) == ("9000", "", "")
    table = tex.read_text()
    for rule in (r"\toprule", r"\midrule", r"\bottomrule"):
        assert table.count(rule) == 1
    assert r"full\_bm25" in table and r"95 \% interval" in table and r"pydocs/test" in table
    assert text.read_text() == paragraph(expected, MODEL, PRIMARY, RULES) + "\n"


def test_what_latex_would_misread_is_escaped_and_numbers_are_mathematics(tmp_path):
    measure = "P(rel=2)@10"
    table = latex([row | {"measure": measure} for row in rows(tmp_path)], (*PRIMARY[:2], measure), RULES)
    lines = table.splitlines()
    header = lines[lines.index(r"\toprule") + 1]
    assert header == rf"Variant & {measure} & Difference & 95 \% interval & Adjusted $p$ & $d_z$ & Verdict \\"
    body = lines[lines.index(r"\midrule") + 1 : lines.index(r"\bottomrule")]
    assert len(body) == 5 and all(line.count(" & ") == 6 and line.endswith(r" \\") for line in body)
    # A minus outside of mathematics is a hyphen, and < another letter.
    assert all(sign not in line.split("$")[::2] for line in body for sign in "-<")
    assert not re.search(r"(?<!\\)[_%#&]", re.sub(r"\$[^$]*\$| & ", "", "".join(body)))
