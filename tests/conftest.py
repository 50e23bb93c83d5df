"""Every test runs offline: environment switches for the libraries, and a guard on sockets for all else."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ["HF_HUB_OFFLINE"] = "1"  # before any library reads them
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["NUMBA_DISABLE_JIT"] = "1"  # vot-toolkit's functions take longer to compile than to run here
os.environ["OMP_NUM_THREADS"] = "1"  # PyTorch's and NumPy's: more threads than cores wait for each other

import pytest
from ports import FIRST_PORT

os.environ["GRADIO_SERVER_PORT"] = str(FIRST_PORT)  # read when Gradio is imported

_LOCAL = {"127.0.0.1", "::1", "localhost", "0.0.0.0", "::"}


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Connecting anywhere but to this machine fails loudly."""
    connect = socket.socket.connect

    def local_only(self: socket.socket, address: Any) -> None:
        if self.family in (socket.AF_INET, socket.AF_INET6) and address[0] not in _LOCAL:
            raise AssertionError(f"a test tried to reach {address[0]}:{address[1]}; tests are offline")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", local_only)
    yield


@pytest.fixture(autouse=True)
def same_scheduling() -> Iterator[None]:
    """A test that leaves its process with realtime scheduling would slow down or stop all others."""
    if not hasattr(os, "sched_getscheduler"):
        yield
        return
    before = os.sched_getscheduler(0)
    yield
    assert os.sched_getscheduler(0) == before


@pytest.fixture(scope="session", autouse=True)
def langtrack_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An empty home in place of the user's own. What one test compiles, the next one finds."""
    home = tmp_path_factory.mktemp("langtrack-home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LANGTRACK_HOME", str(home))
        yield home


@pytest.fixture(scope="session")
def lite_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights files of tiny lite networks, as `shipped` takes them."""
    from tiny_weights import write_lite  # imports PyTorch

    return write_lite(tmp_path_factory.mktemp("shipped"))


@pytest.fixture
def shipped(lite_files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of weights that come with LangTrack, for the length of a test."""
    from tiny_weights import ship_lite

    return ship_lite(lite_files, tmp_path, monkeypatch)


@pytest.fixture(scope="session")
def published_siammask() -> dict[str, Any]:
    """Tensors by the names of a published checkpoint of SiamMask."""
    from tiny_weights import published_siammask_state

    return published_siammask_state()
