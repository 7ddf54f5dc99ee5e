import subprocess
import sys
from importlib.metadata import PackageNotFoundError

import pytest

from backfire.datasets import packages
from backfire.errors import BackfireError


def test_versions_need_nothing_outside_the_standard_library():
    script = (
        "import sys\n"
        "from backfire.datasets.packages import package_versions\n"
        "import backfire.datasets.sources\n"
        "versions = package_versions()\n"
        "assert versions['numpy'][0].isdigit(), versions\n"
        "heavy = {'ir_datasets', 'numpy', 'torch', 'pandas', 'yaml', 'sympy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_a_build_tag_is_no_part_of_the_version(monkeypatch):
    monkeypatch.setattr(packages, "version", lambda name: "2.13.0+cpu")
    assert packages.package_versions()["torch"] == "2.13.0"


def test_source_files_are_sorted_modules_of_the_package_without_tests_copies_and_generated_code():
    for name in ("scipy", "scikit-learn", "pandas"):
        files = packages.source_files(name)
        paths = [path for path, _ in files]
        top = packages.PACKAGES[name]
        assert paths == sorted(set(paths))
        assert f"{top}/__init__.py" in paths
        assert all(path.startswith(f"{top}/") and path.endswith(".py") and file.is_file() for path, file in files)
        assert not [path for path in paths if "/tests/" in path or "/externals/" in path or "/cobyqa/" in path]
        assert not {f"{top}/{file}" for file in ("__config__.py", "version.py", "conftest.py")} & set(paths)


def test_a_missing_package_is_absent_in_versions_and_an_error_when_read(monkeypatch):
    name = "backfire-package-that-is-not-installed"
    with pytest.raises(PackageNotFoundError):
        packages.version(name)
    monkeypatch.setitem(packages.PACKAGES, name, "nothing")
    assert packages.package_versions()[name] == packages.ABSENT
    with pytest.raises(BackfireError, match=f"{name} is not installed(.|\n)*Hint: install"):
        packages.source_files(name)
