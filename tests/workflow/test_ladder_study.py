"""A ladder through the whole workflow, of whose variants one diverges though both ends train well."""

import pytest

from backfire.formats.atomic import read_json
from backfire.formats.tables import read_rows

pytestmark = pytest.mark.workflow


@pytest.fixture(scope="module")
def ladder(clone, prepared_base, tmp_path_factory):
    """The study, run: its results."""
    engine = clone.on("ladder").elsewhere(tmp_path_factory.mktemp("ladder")).given(prepared_base)
    engine.succeed()
    return engine.directory / "results/ladder"


def test_a_variant_that_diverges_ends_with_a_note_and_the_ladder_goes_on(ladder):
    notes = read_json(ladder / "models/full_hard--rate/seed-0/training.json")
    assert "not finite after step 1" in notes["diverged"]
    assert (
        "the ladder goes on without this variant"
        in (ladder / "logs/train_variant/full_hard--rate/seed-0.log").read_text()
    )
    for other in ("full_hard--decay", "full_hard", "paper_hard"):
        assert "diverged" not in read_json(ladder / f"models/{other}/seed-0/training.json")
    rows = read_rows(ladder / "ladder.parquet", "ladder").to_pylist()
    rungs = {row["name"]: row for row in rows if row["part"] == "rung"}
    assert [name for name, row in rungs.items() if row["diverged"]] == ["full_hard--rate"]
    parts = {row["name"]: row for row in rows if row["part"] == "factor"}
    # Of the two orders the one is left that changes the decay first.
    assert {row["orders"] for row in parts.values()} == {1}
    means = {name: row["mean"] for name, row in rungs.items()}
    assert parts["decay"]["delta"] == pytest.approx(means["full_hard--decay"] - means["full_hard"], abs=1e-12)
    assert parts["rate"]["delta"] == pytest.approx(means["paper_hard"] - means["full_hard--decay"], abs=1e-12)


def test_the_page_says_what_is_missing(ladder):
    page = (ladder / "report.html").read_text()
    assert "Which part of the recipe did it" in page
    assert "Training diverged for full_hard--rate (seed 0: the weights are not finite after step 1" in page
    assert "1 of 2 remain" in page
    assert read_json(ladder / "checks.json")["passed"]


def test_variants_of_the_ladder_make_no_claims(ladder):
    for table in ("measures", "comparison", "geometry", "cost"):
        found = set(read_rows(ladder / f"{table}.parquet", table)["variant"].to_pylist())
        assert found == {"base", "full_hard", "paper_hard"}, table
