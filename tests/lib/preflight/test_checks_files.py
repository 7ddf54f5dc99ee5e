"""Configuration files as written: what a parser drops without a word is told with its lines."""

import pytest
import yaml

from backfire.errors import BackfireError
from backfire.preflight.files import check_files, read_given


def refusal(tmp_path, text, name="mine.yaml"):
    (tmp_path / name).write_text(text)
    with pytest.raises(BackfireError) as caught:
        check_files([tmp_path / name])
    assert str(tmp_path / name) in caught.value.message
    return caught.value.message


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("seeds: [0]\nstudy: a\nseeds: [5]\n", "'seeds' stands twice, in lines 1 and 3"),
        (
            "variants:\n  a: {method: full}\nvariants:\n  b: {method: full}\n",
            "'variants' stands twice, in lines 1 and 3",
        ),
        ("variants:\n  a: {epochs: 1}\n  a: {epochs: 2}\n", "'variants.a' stands twice, in lines 2 and 3"),
        ("ranking: {depth: 5, depth: 6}\n", "'ranking.depth' stands twice, in line 1"),
        ('ranking: {"depth": 5,\n depth: 6}\n', "'ranking.depth' stands twice, in lines 1 and 2"),
        ("a: [{b: 1}, {b: 1,\n c: 2, b: 3}]\n", "'a.1.b' stands twice, in lines 1 and 2"),
        # The block behind an anchor, told once however often it is taken.
        ("a: &x {b: 1,\n  b: 2}\nc: *x\nd: {<<: *x}\n", "'a.b' stands twice, in lines 1 and 2"),
        ("size: 0100\n", "size: YAML reads 0100 in line 1 as 64"),
        ("queries: [1, 1:30]\n", "queries.1: YAML reads 1:30 in line 1 as 90"),
    ],
)
def test_what_yaml_drops_or_reads_otherwise(tmp_path, text, told):
    message = refusal(tmp_path, text)
    assert told in message
    assert message.count("\n") == 1, "each fault once"


def test_every_fault_of_a_file_is_told_at_once(tmp_path):
    message = refusal(tmp_path, "a: 1\nb: 1\na: 2\nb: 2\na: 3\n")
    assert [line.strip().split(",")[1] for line in message.splitlines()[1:]] == [
        " in lines 1 and 3", " in lines 2 and 4", " in lines 3 and 5",
    ]  # fmt: skip


@pytest.mark.parametrize("indent", ["  ", "\t"])
def test_json_too(tmp_path, indent):
    text = f'{{\n{indent}"study": "a",\n{indent}"seeds": [1],\n{indent}"study": "b"\n}}\n'
    assert "'study' stands twice, in lines 2 and 4" in refusal(tmp_path, text, "mine.json")


def test_what_is_no_fault(root, tmp_path):
    fine = tmp_path / "fine.yaml"
    # Overriding what a merge key brings is what it is for; equal keys of different blocks are no repetition.
    fine.write_text(
        "a: &a {x: 1, y: 2}\nb: &b {z: 3}\nc: {<<: *a, x: 9}\nd: {<<: [*a, *b], y: 0}\ne: {x: 1, y: 1_000, z: 0}\n"
        "f: 0o17\ng: '0100'\nh: 1.50\n1: one\n'1': text\n"
    )
    assert yaml.safe_load(fine.read_text())["c"] == {"x": 9, "y": 2}
    empty = tmp_path / "empty.yaml"
    empty.write_text("")
    shipped = [root / "config.yaml", *(root / "studies").glob("*.yaml"), *(root / "tests/studies").glob("*.yaml")]
    assert len(shipped) > 5
    check_files([fine, empty, *shipped])


@pytest.mark.parametrize("content", [b"a: [1\n", b"\xff\xfe", b"a: 1\n\tb: 2\n"])
def test_what_cannot_be_parsed_is_left_to_the_engine(tmp_path, content):
    (tmp_path / "broken.yaml").write_bytes(content)
    check_files([tmp_path / "broken.yaml", tmp_path / "absent.yaml"])


def test_lists_and_blocks_of_the_command_line_are_read_as_those_of_a_file():
    """The engine reads a value by itself and leaves all within a list or a block as text."""
    from snakemake.cli import parse_config
    from snakemake.utils import update_config

    text = {
        "seeds": "[0, 1]",
        "size": "7",
        "study": "mine",
        "variants": "{full: {rate: 2.0e-5, on: true, of: [1.5, a], name: on the way, when: 2026-11-30}, gone: null}",
    }
    given = parse_config([f"{key}={value}" for key, value in text.items()])
    assert given["seeds"] == ["0", "1"] and given["variants"]["full"]["rate"] == "2.0e-5"
    config = {
        "study": "default",
        "variants": {"full": {"rate": 1.0, "batch": 8}, "gone": {"rate": 1.0}, "kept": {"rate": 1}},
    }
    update_config(config, given)
    full = {"rate": 2.0e-5, "on": True, "of": [1.5, "a"], "name": "on the way", "when": "2026-11-30"}
    assert read_given(given, config) == {
        "seeds": [0, 1],
        "size": 7,
        "study": "mine",
        "variants": {"full": full, "gone": None},
    }
    variants = {"full": full | {"batch": 8}, "gone": None, "kept": {"rate": 1}}
    assert config == {"study": "mine", "seeds": [0, 1], "size": 7, "variants": variants}
