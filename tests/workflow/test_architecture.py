"""The house: one script per rule, imports that go one way, and a DAG that loads nothing heavy."""

import ast
import re
import subprocess
import sys

import pytest
import yaml

# Lowest first. A module may import those before it, and those of its own group.
LAYERS = [
    ["errors", "keyed", "jobs"],
    ["formats"],
    ["provenance"],
    ["study"],
    ["datasets"],
    ["encoders"],
    ["retrieval"],
    ["evaluation"],
    ["negatives", "training"],
    ["explaining"],
    ["recommending"],
    ["forecast"],
    ["planning"],
    ["preflight"],
    ["charts"],
    ["report"],
    ["checks"],
]
# What no DAG may load: it would be paid on every dry run, and by every job on a cluster.
HEAVY = {
    "accelerate", "bm25s", "datasets", "faiss", "ir_datasets", "ir_measures", "matplotlib", "numba", "numpy", "pandas",
    "peft", "pyarrow", "scipy", "sentence_transformers", "sklearn", "statsmodels", "torch", "transformers", "umap",
}  # fmt: skip


def rule_texts(root):
    """{rule name: its text} over all rule files."""
    texts = {}
    for path in sorted((root / "workflow/rules").glob("*.smk")):
        parts = re.split(r"^rule (\w+):\n", path.read_text(), flags=re.MULTILINE)
        texts |= dict(zip(parts[1::2], parts[2::2], strict=True))
    assert texts
    return texts


def imports(path):
    """Names of the package's modules that a file imports, as (first part after the package)."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("backfire."):
            found.add(node.module.split(".")[1])
        elif isinstance(node, ast.ImportFrom) and node.module == "backfire":
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.Import):
            found.update(alias.name.split(".")[1] for alias in node.names if alias.name.startswith("backfire."))
    return found


def test_every_rule_has_its_script_and_every_script_its_rule(root):
    scripts = {path.stem for path in (root / "workflow/scripts").glob("*.py")}
    assert scripts == set(rule_texts(root))


@pytest.mark.parametrize("part", ["input", "output", "log", "benchmark", "params", "threads", "resources", "script"])
def test_every_rule_says(root, part):
    pattern = re.compile(rf"^    {part}:", re.MULTILINE)
    missing = {name for name, text in rule_texts(root).items() if not pattern.search(text)}
    # Models from elsewhere are not made from a file of the study, nor is a plan.
    without = (
        {"prepare_base", "prepare_cross_encoder", "prepare_teacher", "plan_study", "plan_download", "fetch_pairs"}
        if part == "input"
        else set()
    )
    # What prints a page does so whenever it is asked for, and leaves nothing.
    without |= {"check"} if part in ("output", "benchmark") else set()
    assert missing - without == set()


def test_every_rule_names_its_code_environment_and_method(root):
    for name, text in rule_texts(root).items():
        assert re.search(rf'code=(lambda w, input: )?code\("{name}"\)', text), name
        assert f'"../scripts/{name}.py"' in text, name
        assert re.search(r'^    conda:\n        "../../envs/\w+\.yaml"', text, re.MULTILINE), name
        assert re.match(r'    """[A-Z].{20,}?\."""\n', text), (
            f"{name}: its docstring is a sentence of a methods section"
        )


def test_a_script_asks_for_a_gpu_where_its_rule_does(root):
    for name, text in rule_texts(root).items():
        script = (root / f"workflow/scripts/{name}.py").read_text()
        assert ("gpu=GPU" in text) == ('snakemake.resources.get("gpu", 0)' in script), name


def test_scripts_are_thin_and_never_read_the_configuration(root):
    for path in (root / "workflow/scripts").glob("*.py"):
        text = path.read_text()
        assert 8 <= len(text.splitlines()) <= 60, path.name
        assert "snakemake.config" not in text, path.name
        assert ast.get_docstring(ast.parse(text)), path.name
        assert imports(path) - {"jobs"}, f"{path.name} calls no library function"


def test_the_library_never_imports_the_engine_or_reads_the_configuration_file(root):
    for path in (root / "workflow/lib").rglob("*.py"):
        tree = ast.parse(path.read_text())
        names = {
            alias.name.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
        } | {(node.module or "").split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        assert "snakemake" not in names, path
        assert not re.search(r"open\(.*config\.yaml|Path\(.*config\.yaml", path.read_text()), path


def test_imports_go_one_way(root):
    package = root / "workflow/lib/backfire"
    order = {name: level for level, group in enumerate(LAYERS) for name in group}
    for path in package.rglob("*.py"):
        here = path.relative_to(package).parts[0].removesuffix(".py")
        if here == "__init__":
            continue
        for name in imports(path):
            assert order[name] <= order[here], f"{path.relative_to(package)} imports {name}, which is above it"


def test_there_is_no_circle_of_modules(root):
    package = root / "workflow/lib/backfire"
    graph = {}
    for path in package.rglob("*.py"):
        here = path.relative_to(package).parts[0].removesuffix(".py")
        graph.setdefault(here, set()).update(imports(path) - {here})

    def visit(name, trail):
        assert name not in trail, " -> ".join([*trail, name])
        for other in graph.get(name, ()):
            visit(other, [*trail, name])

    for name in graph:
        visit(name, [])


def test_package_inits_are_empty(root):
    """The fingerprint of code follows modules, not the packages around them."""
    for path in (root / "workflow/lib").rglob("__init__.py"):
        assert path.read_text() == "", path


def test_files_stay_small(root):
    assert len((root / "Snakefile").read_text().splitlines()) <= 80
    assert len((root / "workflow/rules/common.smk").read_text().splitlines()) <= 120
    for path in [*(root / "workflow").rglob("*.py"), *(root / "workflow").rglob("*.smk")]:
        assert len(path.read_text().splitlines()) <= 400, path


def loaded_by_a_dry_run(snakefile, directory):
    """Top-level modules in a process that has made a dry run."""
    code = (
        "import sys\n"
        "from snakemake.cli import main\n"
        "try:\n"
        "    main(['-n', '--quiet', '--directory', sys.argv[1], '--snakefile', sys.argv[2]])\n"
        "except SystemExit as stop:\n"
        "    assert not stop.code, stop.code\n"
        "print('LOADED', *sorted({name.split('.')[0] for name in sys.modules}))\n"
    )
    command = [sys.executable, "-c", code, str(directory), str(snakefile)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=directory, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split()[1:])


def test_building_the_dag_loads_nothing_heavy(root, tmp_path):
    """Nothing heavy beyond what the engine itself loads for an empty workflow."""
    empty = tmp_path / "Snakefile"
    empty.write_text("rule all:\n    default_target: True\n")
    engine = loaded_by_a_dry_run(empty, tmp_path)
    ours = loaded_by_a_dry_run(root / "Snakefile", tmp_path)
    assert "backfire" in ours
    assert HEAVY & (ours - engine) == set()


def test_profiles_do_not_fight(root):
    """Keys of profiles/default win over a profile that is named, so they must not be the same."""
    default = yaml.safe_load((root / "profiles/default/config.yaml").read_text())
    slurm = yaml.safe_load((root / "slurm/config.yaml").read_text())
    assert default["rerun-triggers"] == ["mtime", "params", "input", "software-env"]
    assert not default.keys() & slurm.keys()
