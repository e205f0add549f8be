"""The command `vaebook`: what it prints, its errors of one line, and its exit status."""

import os
import re
import subprocess
import sys
from functools import partial
from pathlib import Path

import joblib
import numpy as np
import pytest

from vaebook.build import execute as executing
from vaebook.build.notebooks import Chapter
from vaebook.cli import main
from vaelib import __version__

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = ("execute", "check", "install-cell", "run", "train", "sweep")


@pytest.fixture(autouse=True)
def _a_store_and_cores_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("VAELIB_RUNS", str(tmp_path / "store"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", str(joblib.cpu_count()))


@pytest.fixture
def vaebook(called):
    """Calls the command line: (status, stdout, stderr)."""
    return partial(called, main)


@pytest.fixture
def small(tmp_path):
    """Options for a run of a second."""
    np.save(tmp_path / "noise.npy", np.random.default_rng(0).integers(0, 256, (200, 6, 5), dtype=np.uint8))
    size = "--model.latent-dim 2 --model.hidden 8 --training.epochs 2 --training.device cpu"
    return f"--data.name {tmp_path / 'noise.npy'} {size}"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(vaebook, command):
    status, out, _ = vaebook(f"{command} --help")
    assert status == 0 and f"Usage: vaebook {command}" in out and f"Example:\n  vaebook {command}" in out


def test_help_and_version_need_no_torch():
    code = "import sys; sys.modules['torch'] = None; from vaebook.cli import main; sys.exit(main(sys.argv[1:]))"
    for argument, expected in (("--help", "execute"), ("--version", __version__), ("run --help", "--grid")):
        ran = subprocess.run([sys.executable, "-c", code, *argument.split()], capture_output=True, text=True, cwd=ROOT)
        assert ran.returncode == 0 and expected in ran.stdout, ran.stderr
    ran = subprocess.run([sys.executable, "-c", code, "train", "--recipe", "modern"], capture_output=True, text=True)
    assert ran.returncode == 1 and "torch" in ran.stderr and len(ran.stderr.splitlines()) == 1


def test_options_change_a_recipe(vaebook, small):
    from vaelib.runs import Store

    status, out, _ = vaebook(f"train {small} --recipe kingma-welling --training.batch-size 50 --seed 3")
    run = Store().load("noise")
    assert status == 0 and out.startswith(str(run.path))
    training, model = run.config.training, run.config.model
    assert (training.batch_size, training.optimiser, training.epochs, run.config.seed) == (50, "adagrad", 2, 3)
    assert (model.hidden, model.init) == ((8,), "normal")


def test_a_recipe_is_swept(vaebook, small):
    status, out, err = vaebook(f"sweep {small} --recipe modern --grid seed=0,1 --jobs 1")
    assert status == 0 and len(out.splitlines()) == 3 and err == "runs: 2 finished, 0 failed\n"


@pytest.mark.parametrize(
    ("line", "status", "message"),
    [
        ("exceute", 2, 'Did you mean "execute"?'),
        ("train --data.name digits", 2, "--recipe"),
        ("train --recipe moden", 2, "did you mean 'modern'?"),
        ("train --recipe modern --model.laten-dim 3", 2, "Did you mean --model.latent-dim?"),
        ("sweep --recipe modern --data.name digits", 2, "--grid"),
        ("sweep --recipe modern --data.name digits --grid latent_dim=2", 2, "did you mean 'model.latent_dim'?"),
        ("run --grid a=1 --output out", 2, "run needs a chapter"),
        ("run chapters/nope.py --grid a=1 --output out", 2, "there is no chapter 'chapters/nope.py'"),
        ("run chapters/01_data.py --grid exampels=1 --output out", 2, "did you mean 'examples'?"),
        ("run chapters/01_data.py --grid examples --output out", 2, "write name=value,value"),
        ("execute no/such.py", 1, "such.py"),
        ("execute chapters/01_data.py --jobs 0", 2, "--jobs 0: expected 1 or more"),
        ("run chapters/01_data.py --grid examples=1 --output out --jobs -1", 2, "--jobs -1: expected 1 or more"),
        ("execute chapters/01_data.py --first 2_model.py", 2, "unknown chapter '2_model'"),
    ],
)
def test_what_is_wrong_is_one_line_and_the_right_status(vaebook, monkeypatch, line, status, message):
    monkeypatch.chdir(ROOT)
    got, _, err = vaebook(line)
    assert got == status and message in err
    assert len(err.splitlines()) == 1 and "Traceback" not in err


def test_problems_are_said_and_mended(vaebook, tiny, monkeypatch):
    monkeypatch.chdir(tiny.path.parent)
    assert vaebook("check") == (1, f"tiny.ipynb is missing: run `vaebook execute {tiny.path}`\n", "")
    tiny.path.write_text(tiny.path.read_text().replace(f"@v{__version__}", ""))
    assert vaebook("install-cell") == (0, "tiny\n", "")
    assert vaebook("install-cell") == (0, "every chapter has its cell\n", "")
    status, out, err = vaebook("execute")
    assert status == 0 and re.fullmatch(r"tiny: \d+ s\n", out), err
    assert vaebook("check") == (0, "1 chapters are in order\n", "")
    tiny.path.write_text(tiny.path.read_text().replace("epochs + 1", "1 / 0"))
    status, out, err = vaebook("execute tiny.py")
    assert status == 1 and out == "" and "ZeroDivisionError" in err and len(err.splitlines()) == 1
    status, out, _ = vaebook("check tiny.py")
    assert status == 1 and "newer than its outputs" in out


def test_chapters_at_once_share_the_cores(tiny):
    share = max(1, joblib.cpu_count() // 2)
    twin = Chapter(tiny.path.with_name("twin.py"))
    code = "import joblib, os; joblib.cpu_count(), os.environ['OMP_NUM_THREADS']"
    text = tiny.path.read_text().replace("epochs + 1", code)
    for chapter in (tiny, twin):
        chapter.path.write_text(text)
    command = [sys.executable, "-c", "import sys; from vaebook.cli import main; sys.exit(main(sys.argv[1:]))"]
    subprocess.run(
        [*command, "execute", tiny.path, twin.path, "--jobs", "2"], check=True, capture_output=True, cwd=ROOT
    )
    for chapter in (tiny, twin):
        assert chapter.notebook.cells[4].outputs[0].data["text/plain"] == repr((share, str(share)))


def test_the_long_chapters_start_first_and_all_share_the_cores(vaebook, tiny, monkeypatch):
    twin, begun = tiny.path.with_name("twin.py"), []
    monkeypatch.setattr(executing, "execute", begun.append)
    monkeypatch.setattr(
        "vaelib.sweeps.each", lambda task, items, jobs, _: ((i, task(x) or 1) for i, x in enumerate(items))
    )
    monkeypatch.setattr("joblib.cpu_count", lambda: 4)
    assert vaebook(f"execute {tiny.path} {twin} --jobs 2 --first {twin}")[0] == 0
    assert [chapter.name for chapter in begun] == ["twin", "tiny"]
    assert os.environ["OMP_NUM_THREADS"] == os.environ["LOKY_MAX_CPU_COUNT"] == "2"


@pytest.fixture
def book(tmp_path):
    """A book with one chapter that fails where `n` is 3."""
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / "_toc.yml").write_text("format: jb-book\nroot: 01_small\n")
    cells = ['# %% tags=["parameters"]\nn: int = 1  # a number', "# %%\nprint(10 * n if n < 3 else 1 / 0)"]
    (tmp_path / "book" / "01_small.py").write_text("\n\n".join(cells) + "\n")
    return tmp_path / "book"


def test_a_chapter_over_a_grid_leaves_a_notebook_for_each(vaebook, book, tmp_path):
    status, out, err = vaebook(f"run {book}/01_small.ipynb --grid n=2,3 --output {tmp_path}/out")
    assert status == 1 and "01_small-n=2.ipynb: " in out and "01_small-n=3: cell [" in err
    assert "ZeroDivisionError" in err and len(err.splitlines()) == 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["01_small-n=2.ipynb", "01_small-n=3.ipynb"]
    assert "20\\n" in (tmp_path / "out" / "01_small-n=2.ipynb").read_text()
    assert not (book / "01_small.ipynb").exists()
