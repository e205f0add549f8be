"""Runs that survive: kills at any moment, many processes, damaged files, full and read-only disks."""

import errno
import hashlib
import json
import os
import random
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import torch

from vaelib import runs
from vaelib.config import ConfigError
from vaelib.data import DataConfig
from vaelib.models import VAEConfig
from vaelib.runs import RunConfig, Store
from vaelib.store import FORMAT, BrokenRunError, BusyError, Checkpoint, Directories, StoreError
from vaelib.training import TrainingConfig, fit

FILES = ["config.json", "environment.json", "history.csv", "metrics.json", "model.safetensors"]
RESULTS = ["config.json", "history.csv", "metrics.json", "model.safetensors"]  # all but the time it took


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("VAELIB_RUNS", str(tmp_path))
    return tmp_path


@pytest.fixture(autouse=True, scope="module")
def images(tmp_path_factory):
    global IMAGES
    IMAGES = str(tmp_path_factory.mktemp("data") / "noise.npy")
    np.save(IMAGES, np.random.default_rng(0).integers(0, 256, (400, 4, 5), dtype=np.uint8))


def config(epochs=2, **settings):
    return RunConfig(
        data=DataConfig(name=IMAGES),
        model=VAEConfig(latent_dim=2, hidden=(8,)),
        training=TrainingConfig(epochs=epochs, device="cpu", **settings),
    )


def train(folder, wanted, checkpoint_seconds=0.0):
    """What a process of its own does: train with a checkpoint at every epoch."""
    os.environ["VAELIB_RUNS"] = str(folder)
    torch.set_num_threads(1)
    runs.train(wanted, progress=False, checkpoint_seconds=checkpoint_seconds)


def in_a_process(forked, *arguments):
    process = forked.Process(target=train, args=arguments)
    process.start()
    return process


def progress(folder):
    """Changes with every checkpoint."""
    return [path.stat().st_mtime_ns for path in folder.glob(".*.checkpoint")]


def results(path):
    return {name: (path / name).read_bytes() for name in RESULTS}


@pytest.mark.parametrize("settings", [{}, {"optimiser": "adagrad", "patience": 100}, {"optimiser": "sgd"}])
def test_a_run_killed_again_and_again_ends_with_the_same_bits(forked, folder, tmp_path_factory, settings):
    wanted = config(epochs=100, **settings)
    undisturbed = tmp_path_factory.mktemp("undisturbed")
    process = in_a_process(forked, undisturbed, wanted, 1e9)
    process.join()
    assert process.exitcode == 0
    dice, kills = random.Random(0), 0
    process = in_a_process(forked, folder, wanted)
    while process.is_alive() and kills < 6:
        before = progress(folder)
        while process.is_alive() and progress(folder) == before:
            process.join(0.001)
        process.join(dice.uniform(0, 0.15))  # some epochs on, at any point of training, saving or finishing
        if process.is_alive():
            os.kill(process.pid, signal.SIGKILL)
            process.join()
            kills += 1
            process = in_a_process(forked, folder, wanted)
    process.join()
    assert process.exitcode == 0 and kills >= 1
    path = Store().path(wanted)
    assert results(path) == results(undisturbed / path.name)
    assert not list(folder.glob(".*.checkpoint")) and not list(folder.glob(".*.draft"))


def test_the_checkpoint_of_a_run_that_was_written_is_cleared(folder):
    run = runs.train(config(epochs=2), progress=False)
    left = folder / f".{run.path.name}.checkpoint"
    left.write_bytes(b"of a process that was killed between the two")
    runs.train(config(epochs=2), progress=False)
    assert not left.exists()


def test_many_processes_train_a_run_once(forked, folder):
    crowd = [in_a_process(forked, folder, config(epochs=40)) for _ in range(5)]
    for process in crowd:
        process.join()
    assert [process.exitcode for process in crowd] == [0] * 5
    made = [path for path in folder.iterdir() if not path.name.startswith(".")]
    assert made == [Store().path(config(epochs=40))]


def test_the_lock_of_a_dead_process_does_not_block(forked, folder):
    process = in_a_process(forked, folder, config(epochs=100_000))
    lock = folder / f".{Store().path(config(epochs=100_000)).name}.lock"
    while not list(folder.glob(".*.checkpoint")):
        process.join(0.05)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert lock.exists()
    with Store().exclusive(Store().path(config(epochs=100_000))):
        pass


def test_who_does_not_want_to_wait_need_not(folder):
    path = Store().path(config())
    with Store().exclusive(path), pytest.raises(BusyError, match=f"another process is making {path}"):
        runs.train(config(), wait=False)
    assert not path.exists()
    runs.train(config(), wait=False)
    with Store().exclusive(path):  # a finished run needs no lock
        runs.train(config(), wait=False)


@pytest.mark.parametrize("name", [*FILES, "manifest.json"])
@pytest.mark.parametrize("damage", ["flip", "truncate", "delete"])
def test_a_damaged_run_is_set_aside_and_trained_anew(folder, name, damage):
    run = runs.train(config())
    before, path = results(run.path), run.path / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.unlink() if damage == "delete" else path.write_bytes(content if damage == "flip" else content[:-9])
    with pytest.raises(BrokenRunError, match=str(run.path)):
        Store().load(run.path)
    with pytest.warns(UserWarning, match="made anew"):
        again = runs.train(config())
    assert results(again.path) == before
    assert (folder / f"{run.path.name}.broken-1").is_dir()


def relabelled(path, **changes):
    """Changes a run's manifest."""
    manifest = json.loads((path / "manifest.json").read_text())
    (path / "manifest.json").write_text(json.dumps(manifest | changes))


@pytest.mark.parametrize("other", [1, FORMAT - 1, FORMAT + 1])
def test_a_run_of_another_format_is_refused_and_left_where_it_is(folder, other):
    run = runs.train(config())
    relabelled(run.path, format=other, sha256={"of": "something else"})
    before = sorted(path.name for path in folder.iterdir())
    for ask in (lambda: Store().load(run.path), lambda: runs.train(config())):
        with pytest.raises(StoreError, match=f"has format {other} of the run store.* reads {FORMAT}") as error:
            ask()
        assert not isinstance(error.value, BrokenRunError)
    assert sorted(path.name for path in folder.iterdir()) == before


@pytest.mark.parametrize("name", ["manifest.json", "model.safetensors"])
def test_a_run_that_cannot_be_read_is_refused_and_not_set_aside(folder, monkeypatch, name):
    """Rights, too many open files, an ailing disk: they say nothing of what the run holds."""
    run, read_bytes = runs.train(config()), Path.read_bytes

    def denied(path):
        if path.name == name:
            raise PermissionError(errno.EACCES, "Permission denied")
        return read_bytes(path)

    before = sorted(path.name for path in folder.iterdir())
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", denied)
        for ask in (lambda: Store().load(run.path), lambda: runs.train(config())):
            with pytest.raises(StoreError, match=r"cannot be read \(Permission denied\): see to that") as error:
                ask()
            assert not isinstance(error.value, BrokenRunError)
    assert sorted(path.name for path in folder.iterdir()) == before
    assert runs.train(config()).metrics == run.metrics


@pytest.mark.parametrize(
    "manifest",
    [
        b"",
        b"{}",
        b"[1]",
        b"null",
        b'{"format": 4}',
        b'{"format": 4, "sha256": 3}',
        b'{"format": 4, "sha256": {"no": ""}}',
    ],
    ids=["empty", "object", "list", "null", "no-hashes", "number", "absent"],
)
def test_odd_manifests_are_damage(folder, manifest):
    run = runs.train(config())
    (run.path / "manifest.json").write_bytes(manifest)
    with pytest.raises(BrokenRunError, match="incomplete or damaged"):
        Store().load(run.path)


@pytest.mark.parametrize("name", FILES)
def test_consistent_junk_is_one_clear_line(folder, name):
    """Every hash is right, yet the content is not what a run has."""
    run = runs.train(config())
    for number, junk in enumerate((b"", b"3", b"{}", b"[]", b"null", b'{"epochs": 2, "test": 3}')):
        files = Store().read(run.path) | {name: junk}
        Store().write(folder / f"junk-{number}", files)
        if name == "history.csv" and junk:
            continue  # any table
        with pytest.raises(BrokenRunError, match="does not fit this version of vaelib") as error:
            Store().load(f"junk-{number}")
        assert "\n" not in str(error.value)


def test_a_run_with_settings_unknown_today_is_refused(folder):
    run = runs.train(config())
    saved = json.loads((run.path / "config.json").read_text()) | {"flow": 3}
    files = {name: (run.path / name).read_bytes() for name in FILES} | {"config.json": json.dumps(saved).encode()}
    Store().write(folder / "other", files)
    with pytest.raises(BrokenRunError, match="flow"):
        Store().load(folder / "other")


def test_a_full_disk_is_said_clearly_and_leaves_nothing_behind(folder, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StoreError, match=r"No space left on device.*VAELIB_RUNS"):
            runs.train(config())
    assert [path.name for path in folder.iterdir() if path.suffix != ".lock"] == []
    assert runs.train(config()).path.exists()


def test_a_store_that_cannot_be_written_is_said_before_training(folder, monkeypatch):
    (folder / "file").write_text("not a folder")
    monkeypatch.setenv("VAELIB_RUNS", str(folder / "file" / "store"))
    with pytest.raises(StoreError, match="VAELIB_RUNS"):
        runs.train(config())


def test_finished_runs_load_from_a_store_without_a_lock(folder, monkeypatch):
    run = runs.train(config())
    monkeypatch.setattr(Store, "exclusive", None)  # taking a lock would need write access
    assert runs.train(config()).metrics == run.metrics


# Checkpoints


@pytest.fixture
def checkpoint(tmp_path):
    return Checkpoint(tmp_path / "state", interval=0)


def test_a_checkpoint_returns_what_it_was_given(checkpoint):
    assert checkpoint.load() is None
    weights = torch.arange(6.0).reshape(2, 3)
    checkpoint.save({"a": weights, "same": [weights, torch.tensor(3)], "rows": [0.1, float("inf")]})
    state = checkpoint.load()
    assert torch.equal(state["a"], weights) and torch.equal(state["same"][0], weights) and state["same"][1] == 3
    assert state["rows"] == [0.1, float("inf")]
    checkpoint.clear()
    assert checkpoint.load() is None


@pytest.mark.parametrize("place", [0, 40, -1])
def test_a_damaged_checkpoint_is_not_believed(checkpoint, place):
    checkpoint.save({"a": torch.zeros(9)})
    content = bytearray(checkpoint.path.read_bytes())
    content[place] ^= 1
    checkpoint.path.write_bytes(content)
    with pytest.warns(UserWarning, match="damaged"):
        assert checkpoint.load() is None


def test_a_checkpoint_of_an_older_version_is_not_continued(checkpoint):
    checkpoint.path.write_bytes(hashlib.sha256(b"safetensors").digest() + b"safetensors")
    with pytest.warns(UserWarning, match="damaged"):
        assert checkpoint.load() is None


def test_a_checkpoint_made_with_other_threads_is_not_continued(checkpoint, monkeypatch):
    checkpoint.save({"a": torch.zeros(9)})
    monkeypatch.setattr(torch, "get_num_threads", lambda: 99)
    with pytest.warns(UserWarning, match=r"threads .*: training starts afresh"):
        assert Checkpoint(checkpoint.path).load() is None


def test_checkpoints_keep_their_interval(tmp_path):
    checkpoint = Checkpoint(tmp_path / "state", interval=1000)
    assert not checkpoint.due()
    checkpoint.interval = 0
    assert checkpoint.due()


@pytest.mark.parametrize("action", ["save", "full", "read-only"])
def test_a_checkpoint_that_cannot_be_saved_warns_and_training_goes_on(checkpoint, monkeypatch, action):
    class Mean(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.value = torch.nn.Parameter(torch.zeros(3))

        def loss(self, x, epoch, generator):
            return {"loss": (x - self.value).square().sum(-1)}

    def fails(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    if action == "save":
        monkeypatch.setattr("vaelib.store.os.replace", fails)
    elif action == "full":
        monkeypatch.setattr("vaelib.store.open", lambda *_: Full(), raising=False)
    else:
        monkeypatch.setattr("vaelib.store.open", fails, raising=False)
    x, wanted = torch.rand(9, 3, generator=torch.Generator().manual_seed(0)), TrainingConfig(epochs=3, device="cpu")
    model, undisturbed = Mean(), Mean()
    with pytest.warns(UserWarning, match=r"no checkpoint could be saved .*No space left.*: training goes on without"):
        history = fit(model, model.loss, x, wanted, checkpoint=checkpoint)
    assert history.equals(fit(undisturbed, undisturbed.loss, x, wanted)) and len(history) == 3
    assert list(checkpoint.path.parent.iterdir()) == []


class Full:
    """A file on a disk that is full."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def write(self, content):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_failed_save_keeps_the_checkpoint_before(checkpoint, monkeypatch):
    checkpoint.save({"a": torch.zeros(9)})
    with monkeypatch.context() as patch:
        patch.setattr("vaelib.store.open", lambda *_: Full(), raising=False)
        with pytest.warns(UserWarning, match="no checkpoint could be saved"):
            checkpoint.save({"a": torch.ones(9)})
    assert torch.equal(checkpoint.load()["a"], torch.zeros(9))


def test_a_link_planted_at_the_checkpoints_draft_is_not_followed(checkpoint, tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("mine")
    (tmp_path / "state.part").symlink_to(precious)
    checkpoint.save({"a": torch.zeros(9)})
    assert precious.read_text() == "mine" and not checkpoint.path.is_symlink()
    assert torch.equal(checkpoint.load()["a"], torch.zeros(9))


def test_a_link_planted_at_the_checkpoint_itself_is_replaced(checkpoint, tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("mine")
    checkpoint.path.symlink_to(precious)
    checkpoint.save({"a": torch.zeros(9)})
    assert precious.read_text() == "mine" and checkpoint.load() is not None


def test_a_checkpoint_that_is_a_folder_is_named(folder):
    Store().begun(Store().path(config())).mkdir(parents=True)
    with pytest.raises(OSError, match=r"the checkpoint .* cannot be read .*: see to it, or remove it"):
        runs.train(config())


# The folder of runs: names, finding, deleting


@pytest.fixture
def three(folder):
    """Two finished runs and a begun one, by their names only."""
    for name in ("digits-z2-aa", "digits-z5-ab"):
        Directories(folder).write(folder / name, {"a": b"1"})
    (folder / ".faces-z2-ac.checkpoint").write_bytes(b"")
    return Directories(folder)


def test_names_are_those_of_finished_and_begun_runs(three, tmp_path):
    (three.folder / ".digits-z2-aa.lock").touch()
    (three.folder / "notes.txt").touch()
    assert three.names() == ["digits-z2-aa", "digits-z5-ab", "faces-z2-ac"]
    assert Directories(tmp_path / "nowhere").names() == []


def test_a_run_is_found_by_a_part_of_its_name(three):
    assert three.find("z5") == three.folder / "digits-z5-ab"
    assert three.find("digits-z2-aa").name == "digits-z2-aa"
    with pytest.raises(ConfigError, match="2 runs have 'digits' in their name: digits-z2-aa, digits-z5-ab"):
        three.find("digits")
    with pytest.raises(ConfigError, match=r"'digits-z9-ab': did you mean 'digits-z5-ab'\? \(vaelib runs list"):
        three.find("digits-z9-ab")
    with pytest.raises(ConfigError, match="unknown run ''"):
        three.find("")


def test_only_what_is_named_is_removed(three):
    three.remove("z5")
    three.remove("faces-z2-ac")
    assert three.names() == ["digits-z2-aa"]
    for name in ("", " ", ".", "..", "../x", str(three.folder / "digits-z2-aa"), "digits-z2-aa/", "a\\b"):
        with pytest.raises(ConfigError):
            three.remove(name)
    assert three.names() == ["digits-z2-aa"]


def test_what_cannot_be_deleted_is_said(three, monkeypatch):
    def busy(*_):
        raise OSError(errno.EBUSY, "Device or resource busy")

    monkeypatch.setattr(shutil, "rmtree", busy)
    with pytest.raises(StoreError, match=r"digits-z5-ab was not deleted, or only in part \(Device or resource busy\)"):
        three.remove("z5")


def test_a_run_that_is_worked_on_is_not_removed(three):
    path = three.folder / "digits-z5-ab"
    with three.exclusive(path), pytest.raises(BusyError):
        three.remove("z5")
    assert path.exists()


def test_the_store_is_where_the_environment_says(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("VAELIB_RUNS", "~/runs")
    assert Store().folder == tmp_path / "runs" and Store(tmp_path / "other").folder == tmp_path / "other"
    monkeypatch.delenv("VAELIB_RUNS")
    assert Store().folder.parts[-2:] == ("vaelib", "runs")


def test_writing_over_a_killed_draft_works(folder):
    draft = folder / ".run.draft"
    draft.mkdir()
    (draft / "half").write_text("")
    Directories(folder).write(folder / "run", {"a": b"1"})
    assert Directories(folder).read(folder / "run") == {"a": b"1"} and not draft.exists()
    shutil.rmtree(folder / "run")
