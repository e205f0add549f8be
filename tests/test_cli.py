"""The command line: what it prints, its errors of one line, its exit status, and what Ctrl-C leaves behind."""

import io
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from vaelib import __version__, store
from vaelib.cli import main
from vaelib.data import DataConfig
from vaelib.models import ModelConfig
from vaelib.runs import RunConfig, load, run_directory
from vaelib.training import TrainingConfig

ROOT = Path(__file__).parents[1]
COMMANDS = [
    *("data list", "data fetch", "data verify", "train", "sweep", "evaluate", "runs list", "runs show", "runs rm"),
    *("chapters execute", "chapters check", "chapters run"),
]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("VAELIB_RUNS", str(tmp_path / "store"))
    return tmp_path / "store"


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "noise.npy"
    np.save(path, np.random.default_rng(0).integers(0, 256, (200, 5, 4), dtype=np.uint8))
    return str(path)


@pytest.fixture
def small(images):
    return f"--data.name {images} --model.latent-dim 2 --model.hidden 8 --training.epochs 2 --training.device cpu"


@pytest.fixture
def vaelib(capsys):
    """Calls the command line: (status, stdout, stderr)."""

    def call(line):
        status = main(line.split())
        return status, *capsys.readouterr()

    return call


def config(images, **changes):
    return RunConfig(
        data=DataConfig(name=images),
        model=ModelConfig(latent_dim=2, hidden=(8,)),
        training=TrainingConfig(epochs=2, device="cpu"),
    ).replace(**changes)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(vaelib, command):
    status, out, _ = vaelib(f"{command} --help")
    assert status == 0 and f"Usage: vaelib {command}" in out and f"Example:\n  vaelib {command}" in out


def test_help_and_version_need_no_torch():
    code = "import sys; sys.modules['torch'] = None; from vaelib.cli import main; sys.exit(main(sys.argv[1:]))"
    for argument, expected in (("--help", "evaluate"), ("--version", __version__), ("data", "verify")):
        ran = subprocess.run([sys.executable, "-c", code, argument], capture_output=True, text=True, cwd=ROOT)
        assert ran.returncode == 0 and expected in ran.stdout, ran.stderr


def test_train_makes_the_run_that_its_options_say(vaelib, small, images):
    status, out, _ = vaelib(f"train {small} --seed 3 --objective.beta 0.5")
    path = run_directory(config(images, seed=3, objective={"beta": 0.5}))
    assert status == 0 and out.startswith(str(path)) and load(path).config.seed == 3


def test_options_change_a_recipe(vaelib, small, images):
    assert vaelib(f"train {small} --recipe kingma-welling --training.batch-size 50")[0] == 0
    status, out, _ = vaelib("runs show noise")
    assert status == 0
    for setting in (r"batch_size +50", r"optimiser +adagrad", r"hidden +\(8,\)", r"init +normal", r"epochs +2"):
        assert re.search(setting, out)


def test_a_finished_run_is_listed_shown_judged_and_removed(vaelib, small, images, folder):
    assert "no runs in" in vaelib("runs list")[1]
    vaelib(f"train {small}")
    name = run_directory(config(images)).name
    (folder / "damaged-z2-0").mkdir()
    (folder / ".begun-z2-1.checkpoint").write_bytes(b"")
    _, out, _ = vaelib("runs list")
    for line in (rf"{name} +finished +noise\.npy +bernoulli", r"damaged-z2-0 +damaged", r"begun-z2-1 +unfinished"):
        assert re.search(line, out)
    status, out, _ = vaelib(f"evaluate {name[-8:]} --samples 20 --images 5")
    assert status == 0 and re.search(r"log p\(x\) of 5 test images, 20 samples: -\d+\.\d+ \+- \d\.\d+ nats", out)
    assert vaelib(f"runs rm {name} damaged begun --yes")[0] == 0
    assert [path.name for path in folder.iterdir() if not path.name.endswith(".lock")] == []


def test_a_sweep_prints_its_table_and_fails_with_its_runs(vaelib, small):
    status, out, err = vaelib(f"sweep {small} --grid seed=0,1 model.latent-dim=1,2 --jobs 1")
    assert status == 0 and len(out.splitlines()) == 5 and err == "runs: 4 finished, 0 failed\n"
    wild = "--training.optimiser sgd --grid training.learning_rate=1e-3,1e30 --jobs 1"
    status, out, err = vaelib(f"sweep {small} {wild}")
    assert status == 1 and out.splitlines()[2].endswith("NonFiniteLossError")
    assert err.startswith("runs: 1 finished, 1 failed\n") and "the loss became" in err


def test_data_are_listed_and_verified(vaelib, tmp_path, monkeypatch):
    monkeypatch.setenv("VAELIB_CACHE", str(tmp_path))
    _, out, _ = vaelib("data list")
    assert re.search(r"mnist .*not here: vaelib data fetch mnist", out) and re.search(r"digits .*bundled", out)
    status, out, _ = vaelib("data verify")
    assert status == 0 and "digits: 1,797 images of 8x8, verified" in out and "mnist" not in out
    status, _, err = vaelib("data verify frey")
    assert status == 1 and "`vaelib data fetch frey` downloads it" in err


def test_real_data_are_found(vaelib, real_data):
    assert re.search(r"frey .*" + re.escape(str(real_data)), vaelib("data list")[1])
    assert "frey: 1,965 images of 28x20, verified" in vaelib("data fetch frey")[1]


@pytest.mark.parametrize(
    ("line", "status", "message"),
    [
        ("trian", 2, 'Did you mean "train"?'),
        ("train --model.laten-dim 3", 2, "Did you mean --model.latent-dim?"),
        ("train --model.latent-dim x", 2, "latent_dim='x' of ModelConfig cannot be used"),
        ("train --model.likelihood.sigma-value 0.0001", 2, "sigma_value=0.0001 lies below sigma_floor"),
        ("train --training.optimiser adma", 2, "adam"),
        ("train --recipe moden", 2, "modern"),
        ("train --data.name digitz", 2, "did you mean 'digits'?"),
        ("train --data.name no/such.npy", 1, "there is no file or folder 'no/such.npy'"),
        ("train --data.name digits --training.device cudda", 1, "device='cudda' cannot be used here"),
        ("train 3", 2, "3"),
        ("sweep --data.name digits", 2, "--grid"),
        ("sweep --data.name digits --grid latent_dim=2", 2, "did you mean 'model.latent_dim'?"),
        ("sweep --data.name digits --grid seed", 2, "write name=value,value"),
        ("evaluate digits --samples 1", 2, "--samples is 0 or at least 2"),
        ("evaluate nothing", 2, "unknown run 'nothing'"),
        ("runs rm", 2, "needs the name of a run"),
        ("data fetch mnits", 2, "did you mean 'mnist'?"),
        ("chapters run chapters/nope.py --grid a=1 --output out", 2, "there is no chapter 'chapters/nope.py'"),
        ("chapters run chapters/01_data.py --grid exampels=1 --output out", 2, "did you mean 'examples'?"),
        ("chapters execute no/such.py", 1, "such.py"),
    ],
)
def test_what_is_wrong_is_one_line_and_the_right_status(vaelib, monkeypatch, line, status, message):
    monkeypatch.chdir(ROOT)
    got, _, err = vaelib(line)
    assert got == status and message in err
    assert len(err.splitlines()) == 1 and "Traceback" not in err and err.startswith("vaelib: ")


def test_nothing_is_deleted_unasked(vaelib, small, folder, monkeypatch):
    vaelib(f"train {small}")
    monkeypatch.setattr("sys.stdin", io.StringIO())
    status, _, err = vaelib("runs rm noise")
    assert status == 2 and "say --yes" in err and len(list(folder.glob("noise*"))) == 1


def test_only_runs_of_the_store_are_deleted(vaelib, small, folder, tmp_path, monkeypatch):
    """A project that holds a manifest.json, as browser extensions and web apps do, is no run."""
    vaelib(f"train {small}")
    project = tmp_path / "project"
    (project / "src").mkdir(parents=True)
    (project / "manifest.json").write_text("{}")
    (folder / "noise-link").symlink_to(project)
    monkeypatch.chdir(project)
    for name in (".", "..", "", " ", "../project", str(project), f"{project}/", "./", "noise-link"):
        assert main(["runs", "rm", name, "--yes"]) == 2, name
    assert (project / "src").is_dir() and (project / "manifest.json").exists()
    assert len(list(folder.glob("noise-z2-*"))) == 1


def test_a_run_that_is_being_trained_is_not_deleted(vaelib, small, folder):
    vaelib(f"train {small}")
    (path,) = folder.glob("noise-z2-*")
    with store.exclusive(path):
        status, out, err = vaelib(f"runs rm {path.name} --yes")
    assert status == 1 and "deleted" not in out and path.is_dir() and "another process" in err


def test_a_bug_is_one_line_with_a_way_to_its_traceback(vaelib, monkeypatch):
    monkeypatch.setattr("vaelib.cli.runs.store_directory", lambda: 1 / 0)
    status, _, err = vaelib("runs list")
    assert status == 1 and err == "vaelib: ZeroDivisionError: division by zero (VAELIB_TRACEBACK=1 shows where)\n"
    monkeypatch.setenv("VAELIB_TRACEBACK", "1")
    with pytest.raises(ZeroDivisionError):
        vaelib("runs list")


def start(line, folder):
    """The installed command, in a process group of its own as a terminal gives it."""
    command = Path(sys.executable).with_name("vaelib")
    environment = {**os.environ, "VAELIB_RUNS": str(folder), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [command, *line.split()], env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def wait_for(condition, process):
    started = time.monotonic()
    while not condition() and time.monotonic() - started < 60:
        time.sleep(0.02)
    assert condition(), process.poll()


def alive(group):
    """Whether any process of the group is left."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_ctrl_c_leaves_a_checkpoint_and_the_same_command_goes_on(images, folder, small):
    line = f"train {small.replace('epochs 2', 'epochs 100000')}"
    process = start(line, folder)
    wait_for(lambda: list(folder.glob(".*.lock")), process)
    time.sleep(1)
    os.killpg(process.pid, signal.SIGINT)
    err = process.communicate(timeout=60)[1]
    assert process.returncode == 130 and "Traceback" not in err
    assert "the same command goes on from there" in err.splitlines()[-1]
    assert len(list(folder.glob(".noise*.checkpoint"))) == 1


def test_ctrl_c_stops_a_sweep_and_keeps_what_is_finished(images, folder, small):
    line = f"sweep {small} --grid training.epochs=2,3,1000000,1000001 --jobs 2"
    process = start(line, folder)
    wait_for(lambda: len(list(folder.glob("noise*/manifest.json"))) == 2, process)
    os.killpg(process.pid, signal.SIGINT)
    err = process.communicate(timeout=60)[1]
    assert process.returncode == 130 and "Traceback" not in err, err
    assert len(list(folder.glob("noise*/manifest.json"))) == 2
    wait_for(lambda: not alive(process.pid), process)


@pytest.fixture
def book(tmp_path):
    """A book with one chapter that fails where `n` is 3."""
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / "_toc.yml").write_text("format: jb-book\nroot: 01_small\n")
    cells = ['# %% tags=["parameters"]\nn: int = 1  # a number', "# %%\nprint(10 * n if n < 3 else 1 / 0)"]
    (tmp_path / "book" / "01_small.py").write_text("\n\n".join(cells) + "\n")
    return tmp_path / "book"


def test_a_chapter_over_a_grid_leaves_a_notebook_for_each(vaelib, book, tmp_path):
    status, out, err = vaelib(f"chapters run {book}/01_small.ipynb --grid n=2,3 --output {tmp_path}/out")
    assert status == 1 and "01_small-n=2.ipynb" in out and "01_small-n=3.ipynb: cell [" in err
    assert "ZeroDivisionError" in err and len(err.splitlines()) == 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["01_small-n=2.ipynb", "01_small-n=3.ipynb"]
    assert "20\\n" in (tmp_path / "out" / "01_small-n=2.ipynb").read_text()
    assert not (book / "01_small.ipynb").exists()
    shutil.rmtree(tmp_path / "out")
