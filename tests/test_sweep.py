"""Sweeps: on this machine's processes and on a real cluster of worker processes, some of which are killed."""

import os
import signal
import socket
import threading
import time
from contextlib import contextmanager

import numpy as np
import pytest
from distributed import Client, LocalCluster

from vaelib import engine, store
from vaelib.config import ConfigError
from vaelib.data import DataConfig, DataError
from vaelib.engine import EngineError, each
from vaelib.models import ModelConfig
from vaelib.runs import RunConfig, run_directory
from vaelib.sweep import grid, sweep, train_all
from vaelib.tables import COLUMNS
from vaelib.training import NonFiniteLossError, TrainingConfig

pytestmark = pytest.mark.xdist_group("cluster")
WORKERS = 3


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("VAELIB_RUNS", str(tmp_path))
    return tmp_path


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    images = tmp_path_factory.mktemp("data") / "noise.npy"
    np.save(images, np.random.default_rng(0).integers(0, 256, (200, 5, 4), dtype=np.uint8))
    return RunConfig(
        data=DataConfig(name=str(images)),
        model=ModelConfig(latent_dim=2, hidden=(8,)),
        training=TrainingConfig(epochs=2, device="cpu"),
    )


@pytest.fixture(scope="module")
def cluster():
    """A scheduler and worker processes, each with a nanny that starts it again when it is killed."""
    with LocalCluster(
        n_workers=WORKERS,
        threads_per_worker=1,
        processes=True,
        host="127.0.0.1",
        dashboard_address=None,
        env={"VAELIB_RUNS": "", "OMP_NUM_THREADS": "1"},  # no store of their own: they take that of who asks
    ) as cluster:
        yield cluster


@pytest.fixture(params=["processes", "cluster"])
def place(request):
    """The arguments for either engine."""
    if request.param == "processes":
        return {"jobs": 2}
    return {"scheduler": request.getfixturevalue("cluster").scheduler_address}


def made(folder):
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))


def names(configs):
    return sorted(run_directory(config).name for config in configs)


def test_every_run_is_there_once_and_in_order(folder, base, place):
    configs = [*grid(base, **{"seed": [3, 1], "model.latent_dim": [1, 2]}), base.replace(seed=3)]
    runs = train_all(configs, **place)
    assert [run.config for run in runs] == configs
    assert made(folder) == names(set(configs))
    assert {run.environment["threads"] for run in runs} == {1}


def test_a_run_has_the_same_bits_wherever_it_was_trained(folder, base, cluster, monkeypatch):
    there = train_all([base], scheduler=cluster.scheduler_address)[0]
    monkeypatch.setenv("VAELIB_RUNS", str(folder / "here"))
    here = train_all([base], jobs=1)[0]
    assert here.path != there.path
    for name in ("model.safetensors", "history.csv", "metrics.json"):
        assert (here.path / name).read_bytes() == (there.path / name).read_bytes()


def test_a_run_that_diverges_is_reported_and_stops_no_other(folder, base, place):
    wild = base.replace(training=TrainingConfig(optimiser="sgd", learning_rate=1e30, epochs=2, device="cpu"))
    configs = [base, wild, base.replace(seed=1)]
    result = sweep(configs, **place)
    assert [run.config for run in result.runs] == [base, base.replace(seed=1)]
    assert list(result.failures) == [wild] and isinstance(result.failures[wild], NonFiniteLossError)
    head, line = result.report().splitlines()
    assert head == "runs: 2 finished, 1 failed"
    assert "training.learning_rate=1e+30 seed=0: NonFiniteLossError: the loss became" in line
    table = result.table()
    assert list(table["seed"]) == [0, 1, 0] and list(table["failed"].isna()) == [True, True, False]
    assert table[COLUMNS["elbo"]][0] == -result.runs[0].metrics["test"]["elbo"]
    with pytest.raises(NonFiniteLossError, match="the loss became"):
        train_all(configs, **place)
    assert made(folder) == names([base, base.replace(seed=1)])


def test_asked_again_it_does_only_what_is_missing(folder, base, monkeypatch):
    configs = grid(base, seed=[0, 1, 2])
    train_all(configs[:2], jobs=1)
    asked = []
    monkeypatch.setattr("vaelib.sweep.each", lambda task, items, *place: asked.extend(items) or each(task, items, 1))
    (run_directory(configs[0]) / "metrics.json").write_text("{}")  # damaged: counts as missing
    with pytest.warns(UserWarning, match="made anew"):
        assert len(train_all(configs)) == 3
    assert asked == [configs[0], configs[2]]
    asked.clear()
    train_all(configs)
    assert asked == []


@contextmanager
def killer(cluster, kills):
    """Kills a worker that is training, `kills` times, each with SIGKILL and in the middle of its task."""
    killed, over = [], threading.Event()

    def hunt():
        with Client(cluster, set_as_default=False) as client:
            while len(killed) < kills and not over.wait(0.3):
                busy = [address for address, tasks in client.processing().items() if tasks]
                pids = {nanny.worker_address: nanny.pid for nanny in cluster.workers.values()}
                if prey := next((pids[address] for address in busy if pids.get(address)), None):
                    os.kill(prey, signal.SIGKILL)
                    killed.append(prey)

    thread = threading.Thread(target=hunt)
    thread.start()
    try:
        yield killed
    finally:
        over.set()
        thread.join()


def test_a_run_that_another_process_trains_holds_up_no_other(folder, base, place):
    theirs, ours = grid(base, seed=[0, 1])
    results = {}
    with store.exclusive(run_directory(theirs)):  # as if somebody else were training it
        thread = threading.Thread(target=lambda: results.update(runs=train_all([theirs, ours], **place)))
        thread.start()
        deadline = time.monotonic() + 60
        while not run_directory(ours).exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert made(folder) == names([ours])
    thread.join(60)
    assert [run.config for run in results["runs"]] == [theirs, ours]


def test_waits_grow_while_all_is_busy_and_start_anew_after_progress(monkeypatch):
    waits, rounds_busy = [], {"first": 2, "second": 4}

    def task(name):
        if rounds_busy[name]:
            rounds_busy[name] -= 1
            raise store.BusyError(name)
        return name

    monkeypatch.setattr(engine.time, "sleep", waits.append)
    assert list(each(task, ["first", "second"], jobs=1)) == [(0, "first"), (1, "second")]
    assert waits == [0.5, 1.0, 0.5]


def test_workers_killed_in_mid_sweep_lose_nothing(folder, base, cluster):
    configs = grid(base.replace(training=TrainingConfig(epochs=150, device="cpu")), seed=list(range(8)))
    with killer(cluster, kills=2) as killed:
        result = sweep(configs, scheduler=cluster.scheduler_address)
    assert len(set(killed)) == 2
    assert [run.config for run in result.runs] == configs and result.failures == {}
    assert made(folder) == names(configs)
    assert not list(folder.glob(".*.checkpoint")) and not list(folder.glob(".*.draft"))


def test_a_task_that_kills_its_workers_is_given_up(cluster, monkeypatch):
    monkeypatch.setattr(cluster.scheduler, "allowed_failures", 0)
    ((_, error),) = each(fatal, [1], scheduler=cluster.scheduler_address)
    assert isinstance(error, EngineError) and "KilledWorker" in str(error) and "\n" not in str(error)
    monkeypatch.undo()
    assert dict(each(fatal, [0, 2], scheduler=cluster.scheduler_address)) == {0: 0, 1: 2}


def test_a_killed_process_of_this_machine_is_one_line():
    with pytest.raises(EngineError, match=r"a worker process was killed.*asking again goes on"):
        list(each(fatal, [0, 1, 2], jobs=2))


def set_store(folder):
    os.environ["VAELIB_RUNS"] = folder


def fatal(item):
    if item == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return item


def test_a_scheduler_that_is_not_there_is_one_line(base, monkeypatch):
    monkeypatch.setattr(engine, "SECONDS_TO_ANSWER", 1)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(EngineError, match=f"no dask scheduler answers at tcp://127.0.0.1:{port}"):
        sweep([base], scheduler=f"tcp://127.0.0.1:{port}")
    with pytest.raises(EngineError, match="no dask scheduler answers at nonsense"):
        sweep([base], scheduler="nonsense")


def test_workers_with_a_store_of_their_own_that_is_not_shared_are_named(folder, base, cluster, monkeypatch):
    monkeypatch.setattr("vaelib.sweep.SECONDS_TO_APPEAR", 1)
    with Client(cluster, set_as_default=False) as client:
        client.wait_for_workers(WORKERS)  # those killed before are back
        client.run(set_store, str(folder / "theirs"))
        result = sweep([base], scheduler=cluster.scheduler_address)
        client.run(set_store, "")
    assert "theirs" in str(result.failures[base]) and "which this store does not have" in str(result.failures[base])


def test_bad_settings_stop_a_sweep_before_any_work(folder, base, tmp_path):
    with pytest.raises(ConfigError, match="did you mean 'random'"):
        sweep([base, base.replace(data=base.data.replace(split="randum"))])
    with pytest.raises(DataError, match="there is no file"):
        sweep([base, base.replace(data=DataConfig(name=str(tmp_path / "no.npy")))])
    assert made(folder) == []
