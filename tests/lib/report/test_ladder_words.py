"""What the page says of a ladder: the parts that add up, what is settled, what depends on what, what is missing."""

import numpy as np
import pytest

from backfire.evaluation.comparison import Rules
from backfire.evaluation.perquery import Scores, Store
from backfire.explaining.attribution import Rungs, attributed
from backfire.formats.tables import write_rows
from backfire.report.ladder import ladder_section, method_of

PRIMARY, UNSEEN = ("pydocs", "test", "RR@10"), ("pydocs", "unseen", "RR@10")
RULES = Rules(0.05, 1000, 2000, 0, 0.8, {"default": 0.01}, ())


@pytest.fixture
def told(study_of, tmp_path):
    """A function that gives the section of a ladder with planted effects, of which some variants diverged."""

    def tell(effects, together=0.0, lost=()):
        far = {"like": "full_hard", "learning_rate": 4.0e-5, "max_length": 64, "epochs": 2}
        factors = {"rate": ["learning_rate"], "length": ["max_length"], "epochs": ["epochs"]}
        block = {"from": "full_hard", "to": "far", "factors": factors}
        ladder = study_of({"variants": {"far": far}, "ladder": block}).ladder
        rng, scores = np.random.default_rng(0), {}
        own = rng.uniform(size=700)
        noise = {name: 0.01 * rng.normal(size=700) for name in ladder.rungs}
        for place in (PRIMARY, UNSEEN):
            scores[place] = {
                name: Scores(
                    [0],
                    [f"q{number:03}" for number in range(700)],
                    (own + sum(effects.get(each, 0.0) for each in taken) + noise[name])[None]
                    + together * ({"rate", "length"} <= taken),
                )
                for name, taken in ladder.rungs.items()
            }
        plain = Rungs(**ladder.plain)
        rows = attributed(Store(scores), plain, [UNSEEN, PRIMARY], PRIMARY, RULES, dict.fromkeys(lost, "seed 0: nan"))
        write_rows(tmp_path / "ladder.parquet", "ladder", rows)
        return ladder_section(tmp_path / "ladder.parquet", ladder, PRIMARY), rows

    return tell


def test_the_total_its_parts_and_what_is_settled(told):
    section, rows = told({"rate": -0.05, "length": 0.02})
    begun, settled, elsewhere = section["sentences"]
    assert begun.startswith("From full_hard to far, RR@10 on pydocs/test falls: 0.")
    # Parts stand in the order of their size, with the numbers of the table.
    here = {row["name"]: row for row in rows if row["part"] == "factor" and row["split"] == "test"}
    parts = [f"{name} {here[name]['delta']:+.4f}".replace("-", "\N{MINUS SIGN}") for name in ("rate", "length")]
    assert f"Its parts, which add up to it: {parts[0]} [" in begun
    assert 0 < begun.index(parts[0]) < begun.index(parts[1]) < begun.index("epochs")
    assert settled == "Lowers it: rate; raises it: length; no difference that matters: epochs."
    (there,) = (row for row in rows if (row["part"], row["name"], row["split"]) == ("factor", "rate", "unseen"))
    assert "On pydocs/unseen" in elsewhere and f"rate lowers it by {abs(there['delta']):.4f}" in elsewhere
    assert section["places"] == ["pydocs/test", "pydocs/unseen"]
    assert [row["name"] for row in section["factors"]] == ["rate", "length", "epochs"]
    assert section["factors"][0]["changes"] == ["learning_rate: 2e-05 \N{RIGHTWARDS ARROW} 4e-05"]


def test_factors_that_depend_on_each_other_are_named(told):
    section, _ = told({"rate": -0.03, "length": -0.03}, together=0.06)
    (depend,) = (sentence for sentence in section["sentences"] if "depend on each other" in sentence)
    assert depend.startswith("Length and rate depend on each other (exploratory): both together change it by +0.0")
    assert depend.endswith("beyond what they change one by one, averaged over the other factors.")
    assert len([row for row in section["pairs"] if row["cells"][0]["delta"] != "\N{EM DASH}"]) == 3


def test_what_diverged_is_said_with_what_is_left(told):
    section, _ = told({"rate": -0.03}, lost=["full_hard--rate"])
    (missing,) = (sentence for sentence in section["sentences"] if "diverged" in sentence)
    assert missing == (
        "Training diverged for full_hard--rate (seed 0: nan); orders of the factors that pass through it are left out: "
        "4 of 6 remain."
    )


def test_a_difference_that_queries_do_not_settle_is_not_called_a_fall(told):
    section, _ = told({})
    assert "does not change by anything that matters: " in section["sentences"][0]
    assert section["settled"] == "no difference that matters" and not section["missing"]
    assert section["orders"].startswith("all 6 orders") and "Shapley" in section["orders"]
    section, _ = told({}, lost=["full_hard--rate"])
    assert section["orders"].startswith("4 of the 6 orders") and "Shapley" not in section["orders"]
    assert section["missing"]


def test_no_part_is_told_where_no_order_remains(told):
    section, _ = told({"rate": -0.03}, lost=["full_hard--rate", "full_hard--length", "full_hard--epochs"])
    begun, missing = section["sentences"]
    assert begun.endswith("What its parts are worth is not known.")
    assert missing.endswith("none remains, so that no part is known.")
    assert all(row["settled"] == "not known" for row in section["factors"])
    assert all(cell["delta"] == "\N{EM DASH}" for row in section["factors"] for cell in row["cells"])


def test_the_method_names_every_change_and_how_many_variants_were_trained(study_of):
    far = {"like": "full_hard", "learning_rate": 4.0e-5, "max_length": 64}
    block = {"from": "full_hard", "to": "far", "factors": {"rate": ["learning_rate"], "length": ["max_length"]}}
    study = study_of({"variants": {"far": far}, "ladder": block})
    told = method_of(study.ladder, 1)
    assert told.startswith(
        "full_hard and far differ in length (max_length 96 \N{RIGHTWARDS ARROW} 64) and rate (learning_rate 2e-05 "
        "\N{RIGHTWARDS ARROW} 4e-05)."
    )
    assert (
        "averaged over all 2 orders in which the factors can be changed one after another (the Shapley value)" in told
    )
    assert "2 variants between the two were trained and ranked for that alone, with 1 seed." in told
