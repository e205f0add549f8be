"""Runs that survive: kills at any moment, many processes, damaged files, full and read-only disks."""

import errno
import json
import multiprocessing
import os
import random
import shutil
import signal

import numpy as np
import pytest
import torch

from vaelib import store
from vaelib.checkpoints import Checkpoint
from vaelib.data import DataConfig
from vaelib.models import ModelConfig
from vaelib.runs import BrokenRunError, RunConfig, StoreError, load, run_directory, train_or_load
from vaelib.training import TrainingConfig

FILES = ["config.json", "environment.json", "history.csv", "metrics.json", "model.safetensors"]
RESULTS = ["config.json", "history.csv", "metrics.json", "model.safetensors"]  # all but the time it took


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("VAELIB_RUNS", str(tmp_path))
    return tmp_path


@pytest.fixture(scope="module")
def processes():
    """Processes that start fast, as they are forked from one that has imported everything already."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["vaelib.runs"])
    return context


@pytest.fixture(autouse=True, scope="module")
def images(tmp_path_factory):
    global IMAGES
    IMAGES = str(tmp_path_factory.mktemp("data") / "noise.npy")
    np.save(IMAGES, np.random.default_rng(0).integers(0, 256, (400, 5, 4), dtype=np.uint8))


def config(epochs=2, **settings):
    return RunConfig(
        data=DataConfig(name=IMAGES),
        model=ModelConfig(latent_dim=2, hidden=(8,)),
        training=TrainingConfig(epochs=epochs, device="cpu", **settings),
    )


def train(folder, wanted, checkpoint_seconds=0.0):
    """What a process of its own does: train with a checkpoint at every epoch."""
    os.environ["VAELIB_RUNS"] = str(folder)
    torch.set_num_threads(1)
    train_or_load(wanted, progress=False, checkpoint_seconds=checkpoint_seconds)


def in_a_process(processes, *arguments):
    process = processes.Process(target=train, args=arguments)
    process.start()
    return process


def progress(folder):
    """Changes with every checkpoint."""
    return [path.stat().st_mtime_ns for path in folder.glob(".*.checkpoint")]


def results(path):
    return {name: (path / name).read_bytes() for name in RESULTS}


@pytest.mark.parametrize("settings", [{}, {"optimiser": "adagrad", "patience": 100}, {"optimiser": "sgd"}])
def test_a_run_killed_again_and_again_ends_with_the_same_bits(processes, folder, tmp_path_factory, settings):
    wanted = config(epochs=100, **settings)
    undisturbed = tmp_path_factory.mktemp("undisturbed")
    process = in_a_process(processes, undisturbed, wanted, 1e9)
    process.join()
    assert process.exitcode == 0
    dice, kills = random.Random(0), 0
    process = in_a_process(processes, folder, wanted)
    while process.is_alive():
        before = progress(folder)
        while process.is_alive() and progress(folder) == before:
            process.join(0.001)
        process.join(dice.uniform(0, 0.15))  # some epochs on, at any point of training, saving or finishing
        if process.is_alive():
            os.kill(process.pid, signal.SIGKILL)
            process.join()
            kills += 1
            process = in_a_process(processes, folder, wanted)
    assert process.exitcode == 0 and kills >= 1  # usually some ten; a busy machine lets it slip away sooner
    path = run_directory(wanted)
    assert results(path) == results(undisturbed / path.name)
    assert not list(folder.glob(".*.checkpoint")) and not list(folder.glob(".*.draft"))


def test_the_checkpoint_of_a_run_that_was_written_is_cleared(folder):
    run = train_or_load(config(epochs=2), progress=False)
    left = folder / f".{run.path.name}.checkpoint"
    left.write_bytes(b"of a process that was killed between the two")
    train_or_load(config(epochs=2), progress=False)
    assert not left.exists()


def test_many_processes_train_a_run_once(processes, folder):
    crowd = [in_a_process(processes, folder, config(epochs=40)) for _ in range(5)]
    for process in crowd:
        process.join()
    assert [process.exitcode for process in crowd] == [0] * 5
    made = [path for path in folder.iterdir() if not path.name.startswith(".")]
    assert made == [run_directory(config(epochs=40))]


def test_the_lock_of_a_dead_process_does_not_block(processes, folder):
    process = in_a_process(processes, folder, config(epochs=100_000))
    lock = folder / f".{run_directory(config(epochs=100_000)).name}.lock"
    while not list(folder.glob(".*.checkpoint")):
        process.join(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert lock.exists()
    with store.exclusive(run_directory(config(epochs=100_000))):
        pass


def test_who_does_not_want_to_wait_need_not(folder):
    path = run_directory(config())
    with store.exclusive(path), pytest.raises(store.BusyError, match=f"another process is making {path}"):
        train_or_load(config(), wait=False)
    assert not path.exists()
    train_or_load(config(), wait=False)
    with store.exclusive(path):  # a finished run needs no lock
        train_or_load(config(), wait=False)


@pytest.mark.parametrize("name", [*FILES, "manifest.json"])
@pytest.mark.parametrize("damage", ["flip", "truncate", "delete"])
def test_a_damaged_run_is_set_aside_and_trained_anew(folder, name, damage):
    run = train_or_load(config())
    before, path = results(run.path), run.path / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.unlink() if damage == "delete" else path.write_bytes(content if damage == "flip" else content[:-9])
    with pytest.raises(BrokenRunError, match=str(run.path)):
        load(run.path)
    with pytest.warns(UserWarning, match="made anew"):
        again = train_or_load(config())
    assert results(again.path) == before
    assert (folder / f"{run.path.name}.broken-1").is_dir()


def test_a_run_of_another_format_is_refused_with_a_clear_word():
    run = train_or_load(config())
    manifest = json.loads((run.path / "manifest.json").read_text())
    (run.path / "manifest.json").write_text(json.dumps(manifest | {"format": 1}))
    with pytest.raises(BrokenRunError, match="written in format 1 of the run store, this version reads 3"):
        load(run.path)


def test_a_run_with_settings_unknown_today_is_refused(folder):
    run = train_or_load(config())
    saved = json.loads((run.path / "config.json").read_text()) | {"flow": 3}
    files = {name: (run.path / name).read_bytes() for name in FILES} | {"config.json": json.dumps(saved).encode()}
    store.write(folder / "other", files)
    with pytest.raises(BrokenRunError, match="flow"):
        load(folder / "other")


def test_a_full_disk_is_said_clearly_and_leaves_nothing_behind(folder, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StoreError, match=r"No space left on device.*VAELIB_RUNS"):
            train_or_load(config())
    assert [path.name for path in folder.iterdir() if path.suffix != ".lock"] == []
    assert train_or_load(config()).path.exists()


def test_a_store_that_cannot_be_written_is_said_before_training(folder, monkeypatch):
    (folder / "file").write_text("not a folder")
    monkeypatch.setenv("VAELIB_RUNS", str(folder / "file" / "store"))
    with pytest.raises(StoreError, match="VAELIB_RUNS"):
        train_or_load(config())


def test_finished_runs_load_from_a_store_without_a_lock(folder, monkeypatch):
    run = train_or_load(config())
    monkeypatch.setattr(store, "exclusive", None)  # taking a lock would need write access
    assert train_or_load(config()).metrics == run.metrics


# Checkpoints


@pytest.fixture
def checkpoint(tmp_path):
    return Checkpoint(tmp_path / "state", interval=0)


def test_a_checkpoint_returns_what_it_was_given(checkpoint):
    assert checkpoint.load() is None
    weights = torch.arange(6.0).reshape(2, 3)
    checkpoint.save({"a": weights, "same": weights, "count": torch.tensor(3)}, {"rows": [0.1, float("inf")]})
    tensors, facts = checkpoint.load()
    assert torch.equal(tensors["a"], weights) and torch.equal(tensors["same"], weights) and tensors["count"] == 3
    assert facts == {"rows": [0.1, float("inf")]}
    checkpoint.clear()
    assert checkpoint.load() is None


@pytest.mark.parametrize("place", [0, 40, -1])
def test_a_damaged_checkpoint_is_not_believed(checkpoint, place):
    checkpoint.save({"a": torch.zeros(9)}, {})
    content = bytearray(checkpoint.path.read_bytes())
    content[place] ^= 1
    checkpoint.path.write_bytes(content)
    with pytest.warns(UserWarning, match="damaged"):
        assert checkpoint.load() is None


def test_a_checkpoint_made_with_other_threads_is_not_continued(checkpoint, monkeypatch):
    checkpoint.save({"a": torch.zeros(9)}, {})
    monkeypatch.setattr(torch, "get_num_threads", lambda: 99)
    with pytest.warns(UserWarning, match="threads .*: training starts afresh"):
        assert checkpoint.load() is None


def test_checkpoints_keep_their_interval(tmp_path):
    checkpoint = Checkpoint(tmp_path / "state", interval=1000)
    assert not checkpoint.due()
    checkpoint.interval = 0
    assert checkpoint.due()


def test_writing_over_a_killed_draft_works(folder):
    draft = folder / ".run.draft"
    draft.mkdir()
    (draft / "half").write_text("")
    store.write(folder / "run", {"a": b"1"})
    assert store.read(folder / "run") == {"a": b"1"} and not draft.exists()
    shutil.rmtree(folder / "run")
