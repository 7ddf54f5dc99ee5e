"""What the tests of the library share: studies as the engine would read them, and one thread for small models."""

import pytest

from backfire.study.study import Study
from merged import merged_config


@pytest.fixture(scope="session")
def study_of(root):
    """A function that makes the study of config.yaml with overlays: dicts, or paths of files in the repository."""
    return lambda *overlays: Study(merged_config(root, *overlays))


@pytest.fixture(scope="module")
def one_thread():
    """torch computes in one thread: threads that wait for one another take longer than a small model has work to do,
    on a busy machine twenty times as long."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
