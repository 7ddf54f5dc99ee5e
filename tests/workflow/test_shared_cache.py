"""The cache between studies, through the engine: a second folder takes what the first computed."""

from pathlib import Path

import pytest

from backfire.provenance.cache import VARIABLE

pytestmark = pytest.mark.workflow
# The chain of mined negatives: collection, tokens, vectors of base and a search.
TARGET = "results/tiny/negatives/hard-50.parquet"
REUSED = {
    "export_corpus": 1,
    "export_queries": 1,
    "tokenize_corpus": 2,
    "encode_corpus": 2,
    "encode_queries": 1,
    "mine_hard": 2,
}


def logs(directory: Path) -> dict[str, list[str]]:
    """The text of each job's log, by rule."""
    found: dict[str, list[str]] = {}
    for path in [*directory.glob("data/*/logs/**/*.log"), *directory.glob("results/*/logs/**/*.log")]:
        rule = path.relative_to(directory).parts[3].removesuffix(".log")
        found.setdefault(rule, []).append(path.read_text())
    return found


def test_a_second_folder_reuses_and_ends_as_a_run_without_a_cache(tiny, prepared_base, tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(tmp_path / "cache"))
    for name, said in (("one", "kept as"), ("two", "reused from")):
        engine = tiny.elsewhere(tmp_path / name).given(prepared_base)
        engine.succeed(TARGET)
        texts = logs(engine.directory)
        counts = {rule: sum(said in text for text in texts[rule]) for rule in texts}
        assert {rule: count for rule, count in counts.items() if count} == REUSED
        for path in [TARGET, *(f"data/tiny/corpus/{number}-of-2.parquet" for number in (1, 2))]:
            assert (engine.directory / path).read_bytes() == (tiny.directory / path).read_bytes()
        for path in (engine.directory / "results/tiny/embeddings/base").rglob("*.parquet"):
            same = tiny.directory / path.relative_to(engine.directory)
            assert path.read_bytes() == same.read_bytes()
    # Where results come from is no reason to run anything again.
    monkeypatch.setenv(VARIABLE, str(tmp_path / "another"))
    assert engine.planned(TARGET) == []
    monkeypatch.delenv(VARIABLE)
    assert engine.planned(TARGET) == []
