"""The bench measures what it says, and writes every figure that it promises. How fast anything is, no test asks."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from bench import limit, plain, with_vaelib
from bench.clock import Clock, Enough
from bench.others import Others
from bench.table import _mark
from bench.works import CONTENDERS, WORKS, images
from vaebook.experiments.recipes import digits_recipe, faces_recipe
from vaelib.data import DataConfig
from vaelib.models import VAE, ObjectiveConfig

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.xdist_group("bench")  # one process, so that the quick bench runs once


def bench(*arguments):
    command = [sys.executable, "-m", "bench", "--quick", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    """What the quick bench printed and wrote."""
    output = tmp_path_factory.mktemp("bench") / "new" / "bench.json"
    ran = bench("--output", str(output))
    assert ran.returncode == 0, ran.stderr
    return ran.stdout, json.loads(output.read_text())


@pytest.mark.parametrize("contender", CONTENDERS)
@pytest.mark.parametrize("work", WORKS)
def test_every_contender_is_measured_at_every_work(quick, work, contender):
    row = quick[1]["training"][work][contender]
    for figure in ("images_per_s", "epoch_s", "first_epoch_s", "peak_memory_mb", "memory_before_mb", "images"):
        assert row[figure] > 0, figure
    assert row["fastest_epoch_s"] <= row["epoch_s"] <= row["slowest_epoch_s"]
    assert row["data"] == "random" and row["other_cores"] >= 0


def test_likelihood_sweep_and_import_are_measured(quick):
    figures = quick[1]
    assert all(figures["likelihood"][name]["images_samples_per_s"] > 0 for name in ("vaelib", "limit"))
    assert figures["likelihood"]["vaelib"]["peak_memory_mb"] > 0
    assert all(figures["sweep"][name]["runs_per_minute"] > 0 for name in ("one_job", "all_cores"))
    assert figures["sweep"]["one_job"]["jobs"] == 1 <= figures["sweep"]["all_cores"]["jobs"]
    assert all(ms > 0 for row in figures["members"]["ms"].values() for ms in row.values())
    assert all(list(row) == ["1", "2"] for row in figures["members"]["ms"].values())
    assert all(figures["import"][name] > 0 for name in ("torch_s", "vaelib_beyond_torch_s"))


def test_machine_is_described_and_all_is_in_the_table(quick):
    text, figures = quick
    assert {"cpu", "cores", "torch", "threads", "python", "load_before"} <= set(figures["machine"])
    assert figures["quick"] and figures["machine"]["threads"] == 1
    for word in [
        *WORKS,
        *CONTENDERS,
        "likelihood",
        "sweep",
        "members",
        "import",
        "of limit",
        "x pythae",
        "random data",
    ]:
        assert word in text


def test_unknown_name_says_which_there_are():
    ran = bench("--only", "training.tiny")
    assert ran.returncode == 2 and "training.small.vaelib" in ran.stderr


@pytest.mark.parametrize("work", WORKS.values(), ids=WORKS)
def test_limit_has_the_products_of_a_training_step_and_no_other(work):
    """By torch's own count, for the plain loop and for the library."""
    products = limit.step(work, 10)
    x = torch.rand(10, work.pixels)
    model = VAE(with_vaelib.model_config(work), (work.pixels,))
    ((_, loss),) = model.losses(ObjectiveConfig())
    steps = [
        lambda: [torch.mm(a, b, out=room) for a, b, room in products],
        lambda: plain.PlainVAE(work)(x).backward(),
        lambda: loss(x, 0.0, None)["loss"].mean().backward(),
    ]
    counts = []
    for step in steps:
        with FlopCounterMode(display=False) as counter:
            step()
        counts.append(counter.get_total_flops())
    assert counts[0] > 0 and set(counts) == {counts[0]}


def test_plain_loop_minimises_what_the_library_minimises():
    """The same weights and the same draws give the same loss, Bernoulli and Gaussian."""
    for work in WORKS.values():
        torch.manual_seed(0)
        ours, theirs = VAE(with_vaelib.model_config(work), (work.pixels,)), plain.PlainVAE(work)
        layers = [[m for m in model.modules() if isinstance(m, torch.nn.Linear)] for model in (ours, theirs)]
        for mine, other in zip(*layers, strict=True):
            other.load_state_dict(mine.state_dict())
        if theirs.log_variance is not None:
            theirs.log_variance.data = ours.likelihood.log_var(torch.zeros(1)).detach()
        x = torch.rand(5, work.pixels)
        torch.manual_seed(1)
        expected = ours.losses(ObjectiveConfig())[0][1](x, 0.0, None)["loss"].sum()
        torch.manual_seed(1)
        assert theirs(x).item() == pytest.approx(expected.item(), rel=1e-5)


def test_works_are_those_of_the_book():
    large = digits_recipe("report", DataConfig(name="mnist"))
    frey = faces_recipe("modern", DataConfig(name="frey"))
    for name, recipe in {"large": large, "frey": frey}.items():
        assert with_vaelib.model_config(WORKS[name]) == recipe.model
        assert with_vaelib.training_config(WORKS[name]) == recipe.training.replace(device="cpu")


def test_random_images_stand_in_with_the_same_shape(monkeypatch, tmp_path):
    monkeypatch.setenv("VAELIB_CACHE", str(tmp_path))
    pixels, data = images(WORKS["frey"], quick=False)
    assert pixels.shape == (1565, 560) and data == "random" and 0 <= pixels.min() <= pixels.max() <= 1


@pytest.mark.parametrize("name", ["small", "frey"])
def test_real_images_are_taken_where_they_are(real_data, name):
    pixels, data = images(WORKS[name], quick=False)
    assert pixels.shape == (WORKS[name].count, WORKS[name].pixels) and data == "real"


def test_clock_keeps_the_first_epoch_apart(monkeypatch):
    times = iter([0.0, 10.0, 11.0, 13.0, 16.0])
    monkeypatch.setattr("bench.clock.time.perf_counter", lambda: next(times))
    clock = Clock(3)
    for _ in range(3):
        clock.lap()
    with pytest.raises(Enough):
        clock.lap()
    figures = clock.figures(100)
    assert figures["first_epoch_s"] == 10 and figures["epoch_s"] == 2 and figures["images_per_s"] == 50
    assert (figures["fastest_epoch_s"], figures["slowest_epoch_s"], figures["epochs_timed"]) == (1, 3, 3)


def test_memory_tells_a_peak_that_is_over():
    """In a process of its own: in this one another test may have reached higher."""
    code = "import json, torch; from bench.memory import Memory; memory = Memory(); torch.ones(50 * 2**20 // 4); "
    code += "print(json.dumps(memory.figures()))"  # 50 MB, for a moment
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    figures = json.loads(ran.stdout)
    assert figures["peak_memory_mb"] >= figures["memory_before_mb"] + 40


def test_work_of_others_is_noticed():
    spin = "import time; end = time.time() + 0.6\nwhile time.time() < end: pass"
    others = Others()
    subprocess.run([sys.executable, "-c", spin], check=True)
    assert others.cores() > 0.2
    assert "cores used by others" in _mark({"other_cores": others.cores()}) and not _mark({"other_cores": 0.0})
