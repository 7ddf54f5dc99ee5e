"""What was seen before training, on the page."""

from example_study import Example

from backfire.formats.atomic import write_json
from backfire.report.forecast import forecast_section


def test_findings_of_one_kind_stand_together_and_the_outcome_is_told(tmp_path):
    study = Example(tmp_path)
    first, second = list(study.verdicts)[:2]
    section = forecast_section(study.forecast(), {first: "HELPS", second: "HARMS"})
    faults, notes = section["groups"]
    assert faults["heading"] == "Faults of a recipe or of the data" and notes["kinds"][0]["found"] == [
        ("seeds", "One.")
    ]
    (kind,) = faults["kinds"]
    assert [about for about, _ in kind["found"]] == [f"variants.{first}.loss", f"variants.{second}.loss"]
    assert kind["remedies"] == [f"a remedy for {first}", f"a remedy for {second}"]
    assert section["counted"] == "1 fault"
    assert section["outcome"].startswith(f"Of the recipes with a fault, {second} backfired; {first} helped.")


def test_a_study_without_findings_has_no_groups(tmp_path):
    write_json(tmp_path / "forecast.json", {"findings": []})
    assert forecast_section(tmp_path / "forecast.json", {}) == {
        "groups": [],
        "counted": "no fault and no risk",
        "outcome": "",
    }
