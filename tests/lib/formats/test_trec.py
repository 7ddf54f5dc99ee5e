"""Runs survive writing and reading, and what is not a run is refused."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backfire.errors import BackfireError
from backfire.formats.trec import escaped, iterate_run, read_run, unescaped, write_run

# Anything but halves of surrogate pairs, and often what the format treats specially.
character = st.one_of(st.characters(exclude_categories=["Cs"]), st.sampled_from("%/ \t\r\n\u00a0\u202802aAfF"))
identifier = st.text(character, min_size=1, max_size=8)
score = st.floats(width=32, allow_nan=False, allow_infinity=False)
ranking = st.lists(st.tuples(identifier, score), min_size=1, max_size=6)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(identifier, ranking, max_size=5))
def test_order_and_every_bit_of_a_score_survive(tmp_path_factory, run):
    path = tmp_path_factory.mktemp("runs") / "test.trec"
    write_run(path, run.items(), "base-seed-0")
    read = read_run(path)
    assert list(read) == list(run)
    for query_id, expected in run.items():
        assert [doc for doc, _ in read[query_id]] == [doc for doc, _ in expected]
        found = np.array([value for _, value in read[query_id]]).astype(np.float32)
        assert found.tobytes() == np.array([value for _, value in expected], np.float32).tobytes()


@settings(deadline=None)
@given(identifier)
def test_an_id_is_one_column_and_comes_back(text):
    column = escaped(text)
    assert column.split() == [column]
    assert unescaped(column) == text


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("D123_4-5.6", "D123_4-5.6"),
        ("https://example.org/a/b?c=1&d=2#e", "https://example.org/a/b?c=1&d=2#e"),
        ("100%", "100%"),
        ("50%off", "50%off"),
        ("größe/Ärzte", "größe/Ärzte"),
        ("New York", "New%20York"),
        ("a\u00a0b", "a%C2%A0b"),
        ("New%20York", "New%2520York"),
    ],
)
def test_only_white_space_and_what_looks_escaped_is_written_in_another_way(tmp_path, text, column):
    write_run(tmp_path / "a.trec", [(text, [(text, 0.5)])], "tag")
    assert (tmp_path / "a.trec").read_text(encoding="utf-8") == f"{column} Q0 {column} 1 0.5 tag\n"
    assert read_run(tmp_path / "a.trec") == {text: [(text, 0.5)]}


def test_escapes_that_are_no_text_stay():
    assert unescaped("%FF%00x") == "%FF%00x"


def test_neighbouring_float32_scores_stay_apart(tmp_path):
    values = [np.float32(0.7)]
    for _ in range(50):
        values.append(np.nextafter(values[-1], np.float32(0)))
    write_run(tmp_path / "a.trec", [("q", [(f"d{n}", float(v)) for n, v in enumerate(values)])], "x")
    assert [np.float32(value) for _, value in read_run(tmp_path / "a.trec")["q"]] == values


def test_lines_are_those_of_trec_eval(tmp_path):
    write_run(tmp_path / "a.trec", [("q1", [("b", 0.5), ("a", 0.25)]), ("q2", [("a", -1.0)])], "full_hard-seed-0")
    assert (tmp_path / "a.trec").read_text() == (
        "q1 Q0 b 1 0.5 full_hard-seed-0\nq1 Q0 a 2 0.25 full_hard-seed-0\nq2 Q0 a 1 -1.0 full_hard-seed-0\n"
    )


@pytest.mark.parametrize(
    ("query_id", "doc_id", "why"),
    [("", "d", "is empty"), ("q", "", "is empty"), ("\ud83d", "d", "surrogate"), ("q", "a \udc80", "surrogate")],
)
def test_id_that_the_format_cannot_carry(tmp_path, query_id, doc_id, why):
    with pytest.raises(BackfireError, match=f"{why}.*\nHint: a TREC run"):
        write_run(tmp_path / "a.trec", [("fine", [("d", 1.0)]), (query_id, [(doc_id, 1.0)])], "x")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "line", ["q Q0 d 1 0.5", "q Q0 d 1 0.5 tag more", "q Q0 d 1 high tag", "q Q0 d 1 nan tag", "q Q0 d 1 inf tag", ""]
)
def test_line_that_is_not_one_of_a_run(tmp_path, line):
    path = tmp_path / "a.trec"
    path.write_text(f"q Q0 c 1 0.75 tag\n{line}\n")
    with pytest.raises(BackfireError, match=r"a\.trec:2: not a line of a TREC run"):
        read_run(path)


def test_query_in_two_places_is_refused(tmp_path):
    path = tmp_path / "a.trec"
    path.write_text("q1 Q0 c 1 0.7 t\nq2 Q0 c 1 0.7 t\nq1 Q0 d 2 0.6 t\n")
    with pytest.raises(BackfireError, match=r"a\.trec:3: query 'q1' appears again"):
        read_run(path)


def test_queries_come_one_by_one(tmp_path):
    path = tmp_path / "a.trec"
    path.write_text("q1 Q0 c 1 0.7 t\nq2 Q0 c 1 0.7 t\nbroken\n")
    rankings = iterate_run(path)
    assert next(rankings) == ("q1", [("c", 0.7)])
    with pytest.raises(BackfireError, match="not a line"):
        list(rankings)


def test_missing_and_empty_files(tmp_path):
    with pytest.raises(BackfireError, match=r"absent\.trec: there is no such run"):
        read_run(tmp_path / "absent.trec")
    write_run(tmp_path / "a.trec", [], "x")
    assert read_run(tmp_path / "a.trec") == {}
