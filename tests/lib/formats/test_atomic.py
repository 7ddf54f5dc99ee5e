"""A file that exists under its name is whole."""

import math

import pytest

from backfire.formats.atomic import read_json, replacing, write_json


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_file_appears_only_when_the_body_is_done(tmp_path):
    path = tmp_path / "deep" / "figure.svg"
    with replacing(path) as temporary:
        temporary.write_text("half")
        assert not path.exists()
        assert temporary.suffix == ".svg"
        assert temporary.parent == path.parent
    assert path.read_text() == "half"
    assert names(path.parent) == ["figure.svg"]


@pytest.mark.parametrize("failure", [ValueError, KeyboardInterrupt, SystemExit])
def test_failure_leaves_nothing_behind_and_the_old_file_as_it_was(tmp_path, failure):
    path = tmp_path / "run.trec"
    for before in ([], ["run.trec"]):
        with pytest.raises(failure), replacing(path) as temporary:
            temporary.write_text("cut sho")
            raise failure
        assert names(tmp_path) == before
        path.write_text("old")
    assert path.read_text() == "old"


def test_folder_is_replaced_as_a_whole(tmp_path):
    path = tmp_path / "seed-0"
    for content in ("first", "second"):
        with replacing(path) as temporary:
            temporary.mkdir()
            (temporary / content).write_text(content)
    assert names(tmp_path) == ["seed-0"]
    assert names(path) == ["second"]
    with pytest.raises(RuntimeError), replacing(path) as temporary:
        temporary.mkdir()
        (temporary / "third").write_text("third")
        raise RuntimeError
    assert names(tmp_path) == ["seed-0"]
    assert names(path) == ["second"]


def test_body_that_writes_nothing_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError), replacing(tmp_path / "empty.json"):
        pass
    assert names(tmp_path) == []


def test_json_has_the_same_bytes_for_any_order_of_keys(tmp_path):
    value = {"passages": 3, "dropped": {"empty": 1, "duplicate": 0}, "name": "zażółć"}
    write_json(tmp_path / "a.json", value)
    write_json(tmp_path / "b.json", dict(reversed(value.items())))
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert read_json(tmp_path / "a.json") == value
    assert "zażółć" in (tmp_path / "a.json").read_text(encoding="utf-8")


def test_json_that_other_tools_could_not_read_is_refused(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"value": math.nan})
    assert names(tmp_path) == []
