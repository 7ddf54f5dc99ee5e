"""The code fingerprint: logic changes it, however far away; nothing else does."""

import json
import os
import re
import subprocess
import sys
from importlib.metadata import packages_distributions, version

import pytest

from backfire.provenance import fingerprints as provenance
from backfire.provenance.fingerprints import code_digest, fingerprint, plain, value_digest


@pytest.fixture
def tree(tmp_path):
    """A script that imports a, which imports b inside a function; c stands alone."""
    package = tmp_path / "lib" / "backfire"
    (package / "sub").mkdir(parents=True)
    for init in (package, package / "sub"):
        (init / "__init__.py").write_text("")
    (package / "a.py").write_text(
        '"""A."""\n\ndef f(x):\n    """Doc."""\n    from backfire.sub.b import g\n    return g(x)\n'
    )
    (package / "sub" / "b.py").write_text("def g(x):\n    return x + 1\n")
    (package / "c.py").write_text("VALUE = 1\n")
    (tmp_path / "script.py").write_text("from backfire import a\n\na.f(1)\n")
    return tmp_path


def digest(tree, *memory):
    """The fingerprint as a fresh process computes it."""
    code = "import sys; from backfire.provenance.fingerprints import code_digest; print(code_digest(*sys.argv[1:]))"
    command = [sys.executable, "-c", code, str(tree / "script.py"), str(tree / "lib"), *map(str, memory)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def replace(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_logic_two_imports_away_changes_it(tree):
    before = digest(tree)
    replace(tree / "lib/backfire/sub/b.py", "x + 1", "x + 2")
    assert digest(tree) != before


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("lib/backfire/a.py", '"""Doc."""', '"""Another docstring\n\n    in several lines."""'),
        ("lib/backfire/a.py", "return g(x)", "# a comment\n\n    return g(x)"),
        ("lib/backfire/sub/b.py", "return x + 1", "return (x + 1)"),
        ("lib/backfire/c.py", "1", "2"),
        ("script.py", "a.f(1)", "a.f( 1 )  # call"),
    ],
)
def test_comments_docstrings_layout_and_unrelated_modules_do_not(tree, file, old, new):
    before = digest(tree)
    replace(tree / file, old, new)
    assert digest(tree) == before


def test_a_touch_does_not(tree):
    before = digest(tree)
    for path in tree.rglob("*.py"):
        os.utime(path, (1, 1))
    assert digest(tree) == before


def test_what_is_remembered_is_the_same_and_an_edit_is_noticed(tree):
    memory = tree / "memory.json"
    before = digest(tree)
    assert digest(tree, memory) == before
    written = memory.read_bytes()
    assert digest(tree, memory) == before
    assert memory.read_bytes() == written
    replace(tree / "lib/backfire/sub/b.py", "x + 1", "x + 2")
    assert digest(tree, memory) == digest(tree) != before


def test_what_is_remembered_is_used_and_a_damaged_memory_is_not(tree):
    memory = tree / "memory.json"
    before = digest(tree, memory)
    known = json.loads(memory.read_text())
    memory.write_text(json.dumps({key: ["other", names] for key, (_, names) in known.items()}))
    assert digest(tree, memory) != before
    memory.write_text(memory.read_text()[:-9])
    assert digest(tree, memory) == before


def test_a_fingerprint_tells_the_versions_of_the_packages_that_the_code_imports(tree):
    (tree / "lib/backfire/c.py").write_text("import pandas\n")
    replace(tree / "lib/backfire/sub/b.py", "return x + 1", "import json, faiss, tqdm, numpy.linalg\n    return x")
    found = fingerprint(tree / "script.py", tree / "lib")
    assert found.split() == [
        code_digest(tree / "script.py", tree / "lib"),
        f"faiss-cpu=={version('faiss-cpu')}",
        f"numpy=={version('numpy')}",
    ]


def test_packages_that_are_not_installed_and_builds_of_one_version_are_left_out(tree, monkeypatch):
    replace(tree / "lib/backfire/sub/b.py", "return x + 1", "import no_such_package, built\n    return x")
    (tree / "built-1.2.dist-info").mkdir()
    (tree / "built-1.2.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: built\nVersion: 1.2+cpu\n")
    monkeypatch.syspath_prepend(tree)
    assert fingerprint(tree / "script.py", tree / "lib").split()[1:] == ["built==1.2"]


def test_the_version_of_everything_that_the_library_imports_is_found(root):
    """Or else an upgrade of it would run nothing again."""
    outside, provided = set(), packages_distributions()
    for path in [*(root / "workflow/lib").rglob("*.py"), *(root / "workflow/scripts").glob("*.py")]:
        imported = re.findall(r"^ *(?:import|from) (\w+)", path.read_text(), re.MULTILINE)
        outside.update(name for name in imported if name in provided and name != "backfire")
    assert {"numpy", "torch", "faiss", "umap", "pyarrow"} <= outside
    for name in outside - provenance._NEUTRAL:
        tracked = {each.lower().replace("_", "-") for each in provenance._DISTRIBUTIONS.get(name, (name,))}
        assert tracked & {each.lower().replace("_", "-") for each in provided[name]}, name
        # FAISS is one of two.
        assert all(provenance._version(each) or each == "faiss-gpu" for each in tracked)


def test_string_and_bytes_and_number_types_are_told_apart(tree):
    digests = set()
    for literal in ("1", "1.0", "'1'", "b'1'", "True"):
        (tree / "lib/backfire/sub/b.py").write_text(f"def g(x):\n    return {literal}\n")
        digests.add(digest(tree))
    assert len(digests) == 5


def test_every_script_of_the_workflow_has_a_fingerprint_of_its_own(root):
    scripts = sorted((root / "workflow/scripts").glob("*.py"))
    assert scripts
    digests = {code_digest(script, root / "workflow/lib") for script in scripts}
    assert len(digests) == len(scripts)


def test_plain_data_is_ordered_by_key_at_every_depth():
    assert repr(plain({"b": [{"d": 1, "c": 2}], "a": (1,)})) == "{'a': [1], 'b': [{'c': 2, 'd': 1}]}"
    assert value_digest({"a": 1, "b": 2}) == value_digest({"b": 2, "a": 1})
    assert value_digest({"a": 1}) != value_digest({"a": 1.5})
