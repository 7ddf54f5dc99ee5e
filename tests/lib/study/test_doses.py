"""Which variants differ in nothing but their share of wrong labels."""

from backfire.study.doses import dose_groups

SETS = {f"hard_{dose}": {"negatives": "hard", "depth": 50, "size": 100, "swapped": dose / 100} for dose in (10, 20, 40)}
SETS |= {"hard": {"size": 100, "depth": 50}, "other": {"negatives": "hard", "depth": 60, "size": 100, "swapped": 0.5}}


def groups(study_of, variants):
    study = study_of({"triples": SETS, "variants": variants})
    assert study.doses == dose_groups((study.variants[name] for name in study.compared), study.triples)
    return study.doses


def test_a_recipe_at_three_doses_is_a_group_by_dose(study_of):
    wrong = {f"wrong_{dose}": {"like": "full_hard", "triples": f"hard_{dose}"} for dose in (40, 10, 20)}
    assert groups(study_of, wrong) == [[("full_hard", 0.0), ("wrong_10", 0.1), ("wrong_20", 0.2), ("wrong_40", 0.4)]]


def test_two_doses_or_another_recipe_or_another_depth_are_none(study_of):
    assert groups(study_of, {}) == []
    assert groups(study_of, {"wrong_10": {"like": "full_hard", "triples": "hard_10"}}) == []
    other = {
        "wrong_10": {"like": "full_hard", "triples": "hard_10"},
        "wrong_20": {"like": "full_hard", "triples": "hard_20", "learning_rate": 1.0e-6},
        "deeper": {"like": "full_hard", "triples": "other"},
    }
    assert groups(study_of, other) == []
    # The same dose twice is one.
    twice = {f"again_{number}": {"like": "full_hard", "triples": "hard_10"} for number in (1, 2)}
    assert groups(study_of, twice) == []
