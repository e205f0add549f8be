"""What the library's tests share: a store of each test's own, double precision for mathematics, quick processes."""

import multiprocessing
from functools import partial

import pytest


@pytest.fixture
def store(tmp_path, monkeypatch):
    """A folder for runs that is this test's own; it does not exist yet."""
    monkeypatch.setenv("VAELIB_RUNS", str(tmp_path / "store"))
    return tmp_path / "store"


@pytest.fixture
def vaelib(called):
    """Calls the command line: (status, stdout, stderr)."""
    from vaelib.cli import main

    return partial(called, main)


@pytest.fixture
def float64():
    """What is made without a dtype is in double precision."""
    torch = pytest.importorskip("torch")
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture(scope="session")
def forked():
    """A context whose processes start at once, as they are forked from one that has imported what they need."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["pytest", "distributed", "vaelib.runs", "torch._dynamo"])
    process = context.Process(target=int)  # whoever comes next finds it running, and so with all that
    process.start()
    process.join()
    return context
