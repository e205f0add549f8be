"""The command line: what it prints, its errors of one line, its exit status, and what Ctrl-C leaves behind."""

import io
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from vaelib import __version__
from vaelib.cli import WORDS, _inner, main
from vaelib.data import DataConfig
from vaelib.models import FAMILIES, VAEConfig
from vaelib.runs import RunConfig, Store
from vaelib.training import TrainingConfig

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 280  # seconds for what takes few, on a machine that has much else to do
COMMANDS = ("data list", "data fetch", "train", "sweep", "evaluate", "runs list", "runs show", "runs rm")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("VAELIB_RUNS", str(tmp_path / "store"))
    return tmp_path / "store"


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "noise.npy"
    np.save(path, np.random.default_rng(0).integers(0, 256, (200, 4, 5), dtype=np.uint8))
    return str(path)


@pytest.fixture
def small(images):
    return f"--data.name {images} --model.latent-dim 2 --model.hidden 8 --training.epochs 2 --training.device cpu"


def config(images, **changes):
    return RunConfig(
        data=DataConfig(name=images),
        model=VAEConfig(latent_dim=2, hidden=(8,)),
        training=TrainingConfig(epochs=2, device="cpu"),
    ).replace(**changes)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(vaelib, command):
    status, out, _ = vaelib(f"{command} --help")
    assert status == 0 and f"Usage: vaelib {command}" in out and f"Example:\n  vaelib {command}" in out


def test_help_and_version_need_no_torch():
    code = "import sys; sys.modules['torch'] = None; from vaelib.cli import main; sys.exit(main(sys.argv[1:]))"
    for argument, expected in (("--help", "evaluate"), ("--version", __version__), ("data", "fetch")):
        ran = subprocess.run([sys.executable, "-c", code, argument], capture_output=True, text=True, cwd=ROOT)
        assert ran.returncode == 0 and expected in ran.stdout, ran.stderr


def every_setting(kind, owner=""):
    """The dotted names of all settings, of each kind of a union, too."""
    for name, field in kind.model_fields.items():
        kinds = _inner(field.annotation)
        yield from (found for inner in kinds for found in every_setting(inner, f"{owner}{name}."))
        if not kinds:
            yield owner + name


@pytest.mark.parametrize("family", FAMILIES)
def test_every_setting_has_a_description(family):
    """In words for a user of the command line: none speaks of Python."""
    parts = {"data": DataConfig, "model": FAMILIES[family].Settings, "objective": FAMILIES[family].Objective}
    parts["training"] = TrainingConfig
    names = [name for part, kind in parts.items() for name in every_setting(kind, f"{part}.")]
    assert [name for name in names if name not in WORDS] == []
    assert [text for text in WORDS.values() for part in ("`", "None", "True", "_") if part in text] == []


def test_descriptions_reach_the_help():
    """In a process of its own, whose console is as wide as it is told."""
    command = [Path(sys.executable).with_name("vaelib"), "train", "--help"]
    out = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=os.environ | {"COLUMNS": "300"}).stdout
    assert [name for name in every_setting(RunConfig) if name in WORDS and WORDS[name] not in out] == []


@pytest.mark.parametrize("command", COMMANDS)
def test_examples_can_be_copied(vaelib, command):
    """No line is broken by a terminal of 80 columns, and a shell reads what stands there as one command."""
    lines = vaelib(f"{command} --help")[1].partition("Example:\n")[2].splitlines()
    assert max(map(len, lines)) < 80
    commands = "\n".join(lines).replace("\\\n", " ").splitlines()
    assert all(shlex.split(line)[: 1 + len(command.split())] == ["vaelib", *command.split()] for line in commands)
    assert all(line.endswith("\\") for line, below in pairwise(lines) if below.startswith("    "))


def test_a_setting_may_be_written_as_in_python_or_as_an_option(vaelib, small, images):
    line = small.replace("latent-dim", "latent_dim")
    assert vaelib(f"train {line}")[1].startswith(str(Store().path(config(images))))
    for name in ("model.latent_dim", "model.latent-dim"):
        assert vaelib(f"sweep {small} --grid {name}=1,2 --jobs 1")[2] == "runs: 2 finished, 0 failed\n"


def test_train_says_whether_it_trained_or_loaded(vaelib, small):
    assert re.search(r"^trained in \d\.\d s$", vaelib(f"train {small}")[1], re.M)
    assert re.search(r"^loaded: it was trained before, in \d\.\d s$", vaelib(f"train {small}")[1], re.M)


def test_runs_are_chosen_and_sorted(vaelib, small, images):
    for epochs in (1, 3):
        longer = small.replace("--training.epochs 2", f"--training.epochs {epochs}")
        assert vaelib(f"sweep {longer} --grid seed=0,1 --jobs 1")[0] == 0
    names = {e: Store().path(config(images).replace(training={"epochs": e, "device": "cpu"})).name for e in (1, 3)}
    out = vaelib("runs list --where training.epochs=3 seed=0 data.name=noise.npy")[1]
    assert names[3] in out and names[1] not in out and "1 in " in out
    assert re.search(r" \d+\.\d s ", out), "seconds, below a minute"
    figures = [float(line.split()[9]) for line in vaelib("runs list --sort elbo")[1].splitlines()[1:-1]]
    assert len(figures) == 4 and figures == sorted(figures)
    assert "no such runs" in vaelib("runs list --where seed=7")[1]
    status, _, err = vaelib("runs list --where model.latents=2")
    assert status == 2 and "did you mean 'model.latent_dim'?" in err
    status, _, err = vaelib("runs show z2")
    assert status == 2 and all(name in err for name in names.values())


def test_runs_are_listed_and_shown_without_torch(vaelib, small, folder):
    vaelib(f"train {small}")
    code = "import sys; sys.modules['torch'] = None; from vaelib.cli import main; sys.exit(main(sys.argv[1:]))"
    for words, expected in ((["list"], "finished"), (["show", "z2"], "squared error")):
        ran = subprocess.run([sys.executable, "-c", code, "runs", *words], capture_output=True, text=True, cwd=ROOT)
        assert ran.returncode == 0 and expected in ran.stdout, ran.stderr


@pytest.mark.parametrize("name", ["config.json", "environment.json", "metrics.json"])
def test_consistent_junk_in_a_run_is_one_line(vaelib, small, folder, name):
    vaelib(f"train {small}")
    (run,) = Store().names()
    files = Store().read(folder / run)
    for number, junk in enumerate((b"3", b"{}", b"[]", b"null", b'{"epochs": 2, "test": 3}')):
        Store().write(folder / f"junk-{number}", files | {name: junk})
        status, _, err = vaelib(f"runs show junk-{number}")
        assert status == 1 and len(err.splitlines()) == 1 and "not one of this version of vaelib" in err
    assert vaelib("runs list")[1].count(" damaged") == 5


def test_train_makes_the_run_that_its_options_say(vaelib, small, images):
    status, out, _ = vaelib(f"train {small} --seed 3 --objective.beta 0.5")
    path = Store().path(config(images, seed=3, objective={"beta": 0.5}))
    assert status == 0 and out.startswith(str(path)) and Store().load(path).config.seed == 3


def test_a_finished_run_is_listed_shown_judged_and_removed(vaelib, small, images, folder):
    assert "no runs in" in vaelib("runs list")[1]
    vaelib(f"train {small}")
    name = Store().path(config(images)).name
    (folder / "damaged-z2-0").mkdir()
    (folder / ".begun-z2-1.checkpoint").write_bytes(b"")
    _, out, _ = vaelib("runs list")
    for line in (rf"{name} +finished +noise\.npy +vae +bernoulli", r"damaged-z2-0 +damaged", r"begun-z2-1 +unfinished"):
        assert re.search(line, out)
    status, out, _ = vaelib(f"evaluate {name[-8:]} --samples 20 --images 5")
    assert status == 0 and re.search(
        r"log p\(x\) of 5 test images, 20 samples \(\d+ effective\): -\d+\.\d+ \+- \d\.\d+ nats", out
    )
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
    status, out, _ = vaelib("data fetch digits")
    assert status == 0 and "digits: 1,797 images of 8x8, verified" in out and "mnist" not in out


def test_real_data_are_found(vaelib, real_data):
    assert re.search(r"frey .*" + re.escape(str(real_data)), vaelib("data list")[1])
    assert "frey: 1,965 images of 28x20, verified" in vaelib("data fetch frey")[1]


@pytest.mark.parametrize(
    ("line", "status", "message"),
    [
        ("trian", 2, 'Did you mean "train"?'),
        ("train --model.laten-dim 3", 2, "Did you mean --model.latent-dim?"),
        ("train --model.latent-dim x", 2, "latent_dim='x' of VAEConfig cannot be used"),
        ("train --model.likelihood.sigma-value 0.0001", 2, "sigma_value=0.0001 lies below sigma_floor"),
        ("train --training.optimiser adma", 2, "adam"),
        ("train --model.family vea", 2, "did you mean 'vae'?"),
        ("train --seed 18446744073709551616", 2, "of RunConfig cannot be used: expected less than"),
        ("train --data.name digits --training.device meta", 1, "device='meta' cannot be used here"),
        ("train --data.name digitz", 2, "did you mean 'digits'?"),
        ("train --data.name no/such.npy", 1, "there is no file or folder 'no/such.npy'"),
        ("train --data.name digits --training.device cudda", 1, "device='cudda' cannot be used here"),
        ("train 3", 2, "3"),
        ("sweep --data.name digits", 2, "--grid"),
        ("sweep --data.name digits --grid latent_dim=2", 2, "did you mean 'model.latent_dim'?"),
        ("sweep --data.name digits --grid seed", 2, "write name=value,value"),
        ("sweep --data.name digits --grid seed=0 --jobs 0", 2, "jobs=0: expected 1 or more"),
        ("sweep --data.name digits --grid seed=0 --scheduler head", 2, "expected the address of one"),
        ("evaluate digits --samples 1", 2, "--samples is 0 or at least 2"),
        ("evaluate nothing", 2, "unknown run 'nothing'"),
        ("runs rm", 2, "needs the name of a run"),
        ("data fetch mnits", 2, "did you mean 'mnist'?"),
    ],
)
def test_what_is_wrong_is_one_line_and_the_right_status(vaelib, monkeypatch, line, status, message):
    monkeypatch.chdir(ROOT)
    got, _, err = vaelib(line)
    assert got == status and message in err
    assert len(err.splitlines()) == 1 and "Traceback" not in err and err.startswith("vaelib: ")


def test_nothing_is_deleted_unasked(vaelib, small, folder):
    vaelib(f"train {small}")
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
    with Store().exclusive(path):
        status, out, err = vaelib(f"runs rm {path.name} --yes")
    assert status == 1 and "deleted" not in out and path.is_dir() and "another process" in err


def test_a_bug_is_one_line_with_a_way_to_its_traceback(vaelib, monkeypatch):
    monkeypatch.setattr("vaelib.cli.stored.runs_folder", lambda: 1 / 0)
    status, _, err = vaelib("runs list")
    assert status == 1 and err == "vaelib: ZeroDivisionError: division by zero (VAELIB_TRACEBACK=1 shows where)\n"
    monkeypatch.setenv("VAELIB_TRACEBACK", "1")
    with pytest.raises(ZeroDivisionError):
        vaelib("runs list")


def test_figures_of_dynamic_pixels_say_with_which_seed(vaelib, small, images):
    assert vaelib(f"train {small} --data.pixels dynamic")[0] == 0
    status, out, _ = vaelib("evaluate noise --samples 20 --images 5 --seed 3")
    assert status == 0 and "log p(x) of 5 test images, binarised with seed 3, 20 samples" in out
    assert vaelib("evaluate noise --samples 0")[1].splitlines()[-1].startswith("test")


def test_parts_are_chosen_by_name(vaelib, small):
    vaelib(f"train {small}")
    assert "of 3 validation images" in vaelib("evaluate noise --samples 5 --images 3 --part validation")[1]
    status, _, err = vaelib("evaluate noise --part tset")
    assert status == 2 and "did you mean 'test'?" in err


def test_images_that_were_replaced_are_not_evaluated(vaelib, small, images, tmp_path):
    mine = tmp_path / "faces.npy"
    shutil.copy(images, mine)
    vaelib(f"train {small.replace(images, str(mine))}")
    np.save(mine, np.random.default_rng(1).integers(0, 256, (200, 4, 5), dtype=np.uint8))
    status, out, err = vaelib("evaluate faces --samples 5")
    assert status == 1 and "log p(x)" not in out and "it was replaced" in err and len(err.splitlines()) == 1
    mine.unlink()
    status, _, err = vaelib("evaluate faces --samples 5")
    assert status == 1 and "cannot be read again: there is no file" in err and str(mine) in err


def test_a_run_under_anothers_name_is_one_line(vaelib, small, folder):
    for seed in (0, 1):
        vaelib(f"train {small} --seed {seed}")
    first, second = sorted(folder.glob("noise-*"), key=lambda path: Store().load(path).config.seed)
    shutil.rmtree(first)
    shutil.copytree(second, first)
    status, out, err = vaelib(f"train {small} --seed 0")
    assert status == 1 and out == "" and "seed=1 (asked for: 0)" in err and len(err.splitlines()) == 1


def test_warnings_are_lines_too(vaelib, small, folder):
    vaelib(f"train {small}")
    (path,) = folder.glob("noise-*")
    (path / "metrics.json").write_text("{}")
    status, _, err = vaelib(f"train {small}")
    assert status == 0 and err.startswith("vaelib: warning: the run in") and len(err.splitlines()) == 1


def test_a_diverged_run_is_exit_1(vaelib, small, folder):
    status, out, err = vaelib(f"train {small} --training.optimiser sgd --training.learning-rate 1e30")
    assert status == 1 and out == "" and "the model keeps its weights of" in err and len(err.splitlines()) == 1
    assert not list(folder.glob("noise*"))


def test_a_console_that_lacks_a_character_loses_no_run(small, monkeypatch):
    written = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(written, encoding="cp1252"))
    status = main(f"train {small}".split())
    sys.stdout.flush()
    assert status == 0 and b"?ELBO (nats)" in written.getvalue()


def test_without_a_console_a_run_is_trained_all_the_same(small, folder, monkeypatch):
    for stream in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(f"sys.{stream}", None)
    assert main(f"train {small}".split()) == 0 and len(list(folder.glob("noise*"))) == 1
    assert main(["runs", "rm", "noise"]) == 2


def start(line, folder):
    """The installed command, in a process group of its own as a terminal gives it."""
    command = Path(sys.executable).with_name("vaelib")
    environment = {**os.environ, "VAELIB_RUNS": str(folder), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [command, *line.split()], env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def wait_for(condition, process):
    started = time.monotonic()
    while not condition() and time.monotonic() - started < PATIENCE:
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
    os.killpg(process.pid, signal.SIGINT)
    err = process.communicate(timeout=PATIENCE)[1]
    assert process.returncode == 130 and "Traceback" not in err
    assert "the same command goes on from there" in err.splitlines()[-1]
    assert len(list(folder.glob(".noise*.checkpoint"))) == 1


def test_ctrl_c_stops_a_sweep_and_keeps_what_is_finished(images, folder, small):
    line = f"sweep {small} --grid training.epochs=2,3,1000000,1000001 --jobs 2"
    process = start(line, folder)
    wait_for(lambda: len(list(folder.glob("noise*/manifest.json"))) == 2, process)
    os.killpg(process.pid, signal.SIGINT)
    err = process.communicate(timeout=PATIENCE)[1]
    assert process.returncode == 130 and "Traceback" not in err, err
    assert len(list(folder.glob("noise*/manifest.json"))) == 2
    wait_for(lambda: not alive(process.pid), process)
