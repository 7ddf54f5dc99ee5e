"""What the tests of the library share: studies as the engine would read them, and one thread for small models."""

import pytest
import yaml
from snakemake.utils import update_config

from backfire.study.settings import checked
from backfire.study.study import Study


@pytest.fixture(scope="session")
def study_of(root):
    """A function that makes the study of config.yaml with overlays: dicts, or paths of files in the repository."""
    schema = yaml.safe_load((root / "workflow/schemas/config.yaml").read_text())

    def make(*overlays: str | dict) -> Study:
        config = yaml.safe_load((root / "config.yaml").read_text())
        for each in overlays:
            update_config(config, yaml.safe_load((root / each).read_text()) if isinstance(each, str) else each)
        return Study(checked(config, schema))

    return make


@pytest.fixture(scope="module")
def one_thread():
    """torch computes in one thread: threads that wait for one another take longer than a small model has work to do,
    on a busy machine twenty times as long."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
