"""The rule of the verdict is said once; what tells it elsewhere is written from there."""

import re

import pytest
import yaml

from backfire.errors import BackfireError
from backfire.evaluation.verdict import MEANINGS, words
from backfire.report.rule import with_rule


def test_the_documentation_tells_the_rule_as_the_default_study_has_it(root):
    """If this fails: python -m backfire.report.rule docs/statistics.md config.yaml."""
    page, config = (root / "docs/statistics.md").read_text(), yaml.safe_load((root / "config.yaml").read_text())
    assert with_rule(page, config) == page
    assert all(f"- **{outcome}**: " in page for outcome in MEANINGS)
    config["comparison"] |= {"alpha": 0.1}
    assert with_rule(page, config) != page


def test_a_page_without_a_place_is_refused():
    config = {"comparison": {"alpha": 0.05, "margins": {"default": 0.01}}, "primary": {"measure": "AP"}}
    with pytest.raises(BackfireError, match="0 places"):
        with_rule("# A page", config)


def test_words_have_the_numbers_of_the_study():
    told = words({"alpha": 0.01, "margins": {"default": 0.02, "AP": 0.5}}, "nDCG@10")
    assert "below 0.01" in told["meanings"]["HELPS"] and "margin (0.02)" in told["meanings"]["HELPS"]
    assert "at least 228 queries" in told["meanings"]["keeps"] and told["one_sided"].count("98 %") == 1
    assert told["margin"].endswith("0.02 for nDCG@10.")
    assert not [text for text in [*told["meanings"].values(), *map(str, told.values())] if re.search(r"{\w", text)]


def test_no_caption_and_no_page_tells_the_rule_in_words_of_its_own(root):
    """Sentences of the rule stand in verdict.py and in what is written from it."""
    texts = [*(root / "workflow/report").iterdir(), *(root / "workflow/lib").rglob("*.py"), root / "README.md"]
    rule = re.compile(r"adjusted p(-value)? (is )?(small|below)|interval (of the difference )?lies (above|below) 0")
    told = {path.name for path in texts if rule.search(re.sub(r"\s+", " ", path.read_text(encoding="utf-8")))}
    # What kinds of queries a variant moves has a level of its own.
    assert told - {"queries.py"} == {"verdict.py"}
