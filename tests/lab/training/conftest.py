"""What the tests of trainings share: one thread, and a tiny data tree."""

import pytest
import torch
from tiny_training import write_data


@pytest.fixture(autouse=True)
def one_thread():
    """Several threads would wait for each other at every small layer, five times as long."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_data(tmp_path_factory.mktemp("data"))
