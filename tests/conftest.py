"""What all tests share: no window system, no user's cache, and real data only where a test asks for it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

os.environ["MPLBACKEND"] = "Agg"

ROOT = Path(__file__).resolve().parents[1]
SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
CACHES = {"__pycache__", ".ruff_cache", ".ipynb_checkpoints"}
OF_THE_SITE = ("_config.yml", "_toc.yml", "assets", "chapters", "constraints.txt", "vaebook", "vaelib")


def newest(*paths):
    """When the last of these, and of all files below them but caches, was written; 0 if there is none."""
    files = [file for path in paths for file in (path, *path.rglob("[!.]*")) if file.is_file()]
    return max((file.stat().st_mtime for file in files if not CACHES & set(file.parts)), default=0)


def pytest_make_parametrize_id(config, val, argname):
    """Bytes and long texts are named after their parameter: an id that holds a value may change with the clock."""
    return argname if isinstance(val, bytes) or (isinstance(val, str) and len(val) > 60) else None


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


@pytest.fixture
def called(capsys):
    """Calls a command line's `main` with a line: (status, stdout, stderr)."""

    def call(main, line):
        status = main(line.split())
        return status, *capsys.readouterr()

    return call


@pytest.fixture
def style():
    """Figures look like the book's, and none is left open."""
    from matplotlib import pyplot as plt

    from vaelib import plots

    with plt.rc_context():
        plots.use_style()
        yield
        plt.close("all")


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """A build of the site from nothing but the committed book: what the builder said, and the folder of the pages.

    Tests that use it have the mark `xdist_group("site")`, so that one process builds it, once; none does where
    `make book` has built it, without a warning, from what is there now: it is not known then what the builder said.
    """
    if newest(ROOT / "_build" / "html" / ".whole") > newest(*(ROOT / name for name in OF_THE_SITE)):
        return None, ROOT / "_build" / "html"
    folder = tmp_path_factory.mktemp("book")
    for name in ("_config.yml", "_toc.yml"):
        shutil.copy(ROOT / name, folder)
    for name in ("assets", "chapters"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
    jupyter_book = shutil.which("jupyter-book", path=Path(sys.executable).parent)
    ran = subprocess.run(
        [jupyter_book, "build", str(folder), "-W", "-n", "--keep-going"], capture_output=True, text=True
    )
    return ran, folder / "_build" / "html"
