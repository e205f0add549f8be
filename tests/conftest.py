"""What all tests share: no window system, no user's cache, and real data only where a test asks for it."""

import os
from pathlib import Path

import pytest

os.environ["MPLBACKEND"] = "Agg"

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session", autouse=True)
def _cache_of_its_own(tmp_path_factory):
    """Keeps every test, and every process that it starts, away from the cache in the user's home."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VAELIB_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def real_data():
    """The folder of the real MNIST and Frey files; no folder skips the test, in CI an incomplete one fails it."""
    folder = Path(os.environ.get("VAELIB_DATA") or SHARED_DATA)
    for name in ("train-images-idx3-ubyte", "frey_rawface.mat"):
        if not any(folder.glob(f"**/{name}*")):
            missing = pytest.fail if os.environ.get("CI") and folder.is_dir() else pytest.skip
            missing(f"needs the real data: set VAELIB_DATA to a folder with MNIST and Frey (no {name} in {folder})")
    os.environ["VAELIB_DATA"] = str(folder)
    return folder


@pytest.fixture(autouse=True)
def _real_data_on_request_only(request, monkeypatch):
    """A test that does not ask for `real_data` runs as on a machine that has none."""
    if "real_data" not in request.fixturenames:
        monkeypatch.delenv("VAELIB_DATA", raising=False)
