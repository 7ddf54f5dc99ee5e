"""The README's figures: written from tables, and any other figure refused."""

import pytest
from example_study import Example

from backfire.errors import BackfireError
from backfire.formats.atomic import write_json
from backfire.formats.tables import write_rows
from backfire.report.numbers import signed
from backfire.report.readme import BEGIN, END, LAST_PLACE, main


@pytest.fixture
def results(tmp_path):
    study = Example(tmp_path)
    study.comparison()
    for name, seed in study.runs:
        for folder in ("dynamics", "models", "triples"):
            (tmp_path / folder / name).mkdir(parents=True, exist_ok=True)
        rows = [{"step": step, "weight_drift": 0.0} for step in range(16)]
        write_rows(tmp_path / f"dynamics/{name}/seed-{seed}.parquet", "dynamics", rows)
        triple = {"query_id": "q", "positive_id": "p", "negative_id": "n", "source": "hard", "rank": 1}
        triples = [triple | {"example": row // 2, "base_score": 0.5} for row in range(960)]
        write_rows(tmp_path / f"triples/{name}/seed-0.parquet", "triples", triples)
        (tmp_path / f"models/{name}/seed-0").mkdir()
        write_json(tmp_path / f"models/{name}/seed-0/training.json", {"arithmetic": "bf16"})
    study.arithmetic()
    (tmp_path / "README.md").write_text(f"Before.\n{BEGIN}{END}After.\n", encoding="utf-8")
    return tmp_path


def written(results) -> str:
    main([str(results), str(results / "README.md")])
    return (results / "README.md").read_text(encoding="utf-8")


def check(results, text: str) -> None:
    (results / "README.md").write_text(text, encoding="utf-8")
    main([str(results), str(results / "README.md"), "--check"])


def test_figures_are_written_between_the_marks_and_agree_with_their_tables(results):
    text = written(results)
    assert text.startswith("Before.\n") and text.endswith("After.\n")
    assert "480 triples and 15 steps gave, in bf16 on A processor 7,\n" in text and "| full_bm25 |" in text
    assert written(results) == text
    check(results, text)


def test_another_figure_word_or_row_is_drift(results):
    text = written(results)
    for before, after in (("480", "481"), ("HELPS", "HARMS"), ("keeps", "open"), ("| lora_hard |", "| lora |")):
        assert before in text
        with pytest.raises(BackfireError, match="are not those of the study"):
            check(results, text.replace(before, after, 1))
    with pytest.raises(BackfireError, match="are not those of the study"):
        check(results, "".join(line for line in text.splitlines(True) if "| full_hard |" not in line))


def test_the_last_place_may_differ_and_more_may_not(results):
    text = written(results)
    row = next(line for line in text.splitlines() if line.startswith("| full_bm25"))
    delta = float(row.split("|")[3])
    for by, fine in ((LAST_PLACE - 0.001, True), (LAST_PLACE + 0.001, False)):
        other = text.replace(row, row.replace(signed(delta, 3), signed(delta + by, 3)))
        assert other != text
        if fine:
            check(results, other)
        else:
            with pytest.raises(BackfireError):
                check(results, other)


@pytest.mark.parametrize("other", ["in fp32 on A processor 7", "in bf16 on A processor 7, AMX", "in bf16"])
def test_other_arithmetic_is_compared_by_its_numbers_alone(results, other):
    text = written(results).replace("in bf16 on A processor 7", other).replace("HELPS", "INCONCLUSIVE")
    check(results, text)
    with pytest.raises(BackfireError):
        check(results, text.replace("0.5", "0.7"))


def test_a_readme_without_marks_is_refused(results):
    with pytest.raises(BackfireError, match="marks"):
        check(results, "Nothing here.")
