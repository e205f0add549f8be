"""Sweeps: on this machine's processes and on a real cluster of worker processes, some of which are killed."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from contextlib import contextmanager, suppress
from pathlib import Path

import dask
import numpy as np
import psutil
import pytest
import torch
from distributed import Client, LocalCluster

from vaelib import sweeps
from vaelib.config import ConfigError, grid
from vaelib.data import DataConfig, DataError
from vaelib.evaluation import TITLES
from vaelib.models import VAEConfig
from vaelib.runs import RunConfig, Store
from vaelib.store import BusyError, StoreError
from vaelib.sweeps import EngineError, SweepResult, at_work, each, sweep, train_all
from vaelib.training import NonFiniteLossError, TrainingConfig

pytestmark = pytest.mark.xdist_group("cluster")
WORKERS = 2


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("VAELIB_RUNS", str(tmp_path))
    return tmp_path


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    images = tmp_path_factory.mktemp("data") / "noise.npy"
    np.save(images, np.random.default_rng(0).integers(0, 256, (200, 4, 5), dtype=np.uint8))
    return RunConfig(
        data=DataConfig(name=str(images)),
        model=VAEConfig(latent_dim=2, hidden=(8,)),
        training=TrainingConfig(epochs=2, device="cpu"),
    )


@pytest.fixture(scope="module")
def cluster(forked):
    """A scheduler and worker processes, each with a nanny that starts it again when it is killed."""
    with (
        dask.config.set({"distributed.worker.multiprocessing-method": forked.get_start_method()}),
        LocalCluster(
            n_workers=WORKERS,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address=None,
            env={"VAELIB_RUNS": "", "OMP_NUM_THREADS": "1"},  # no store of their own: they take that of who asks
        ) as cluster,
    ):
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
    return sorted(Store().path(config).name for config in configs)


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


def test_a_group_has_the_same_bits_on_a_worker_of_the_cluster(folder, base, cluster, monkeypatch):
    configs = [base.replace(seed=seed) for seed in range(3)]
    there = train_all(configs, scheduler=cluster.scheduler_address, together=3)
    monkeypatch.setenv("VAELIB_RUNS", str(folder / "here"))
    here = train_all(configs, jobs=1, together=3)
    assert [run.environment["together"] for run in there] == [3, 3, 3]
    for one, other in zip(here, there, strict=True):
        assert one.path != other.path
        for name in ("model.safetensors", "history.csv", "metrics.json"):
            assert (one.path / name).read_bytes() == (other.path / name).read_bytes()


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
    assert table[TITLES["elbo"]][0] == -result.runs[0].metrics["test"]["elbo"]
    with pytest.raises(NonFiniteLossError, match="the loss became"):
        train_all(configs, **place)
    assert made(folder) == names([base, base.replace(seed=1)])


def test_asked_again_it_does_only_what_is_missing(folder, base, monkeypatch):
    configs = grid(base, seed=[0, 1, 2])
    train_all(configs[:2], jobs=1)
    asked = []
    monkeypatch.setattr("vaelib.sweeps.each", lambda task, items, *place: asked.extend(items) or each(task, items, 1))
    (Store().path(configs[0]) / "metrics.json").write_text("{}")  # damaged: counts as missing
    with pytest.warns(UserWarning, match="made anew"):
        assert len(train_all(configs)) == 3
    assert asked == [(configs[0],), (configs[2],)]
    asked.clear()
    train_all(configs)
    assert asked == []


@contextmanager
def killer(cluster, kills):
    """Kills `kills` workers, one after another, each with SIGKILL and while it has a task."""
    killed, over = set(), threading.Event()

    def hunt():
        with Client(cluster, set_as_default=False) as client:
            while len(killed) < kills and not over.wait(0.1):
                busy = [address for address, tasks in client.processing().items() if tasks]
                pids = {nanny.worker_address: nanny.pid for nanny in cluster.workers.values()}
                prey = {pids[address] for address in busy if pids.get(address)} - killed
                if prey:  # a nanny may name the process that was just killed for a while: no process counts twice
                    killed.add(min(prey))
                    os.kill(min(prey), signal.SIGKILL)

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
    with Store().exclusive(Store().path(theirs)):  # as if somebody else were training it
        thread = threading.Thread(target=lambda: results.update(runs=train_all([theirs, ours], **place)))
        thread.start()
        deadline = time.monotonic() + 60
        while not Store().path(ours).exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert made(folder) == names([ours])
    thread.join(60)
    assert [run.config for run in results["runs"]] == [theirs, ours]


def test_waits_grow_while_all_is_busy_and_start_anew_after_progress(monkeypatch):
    waits, rounds_busy = [], {"first": 2, "second": 4}

    def task(name):
        if rounds_busy[name]:
            rounds_busy[name] -= 1
            raise BusyError(name)
        return name

    monkeypatch.setattr(sweeps.time, "sleep", waits.append)
    assert list(each(task, ["first", "second"], jobs=1)) == [(0, "first"), (1, "second")]
    assert waits == [0.5, 1.0, 0.5]


def test_workers_killed_in_mid_sweep_lose_nothing(folder, base, cluster):
    configs = grid(base.replace(training=TrainingConfig(epochs=150, device="cpu")), seed=list(range(8)))
    with killer(cluster, kills=2) as killed:
        result = sweep(configs, scheduler=cluster.scheduler_address)
    assert len(killed) == 2
    assert [run.config for run in result.runs] == configs and result.failures == {}
    assert made(folder) == names(configs)
    assert not list(folder.glob(".*.checkpoint")) and not list(folder.glob(".*.draft"))


def test_a_task_that_kills_its_workers_is_given_up(cluster, monkeypatch):
    monkeypatch.setattr(cluster.scheduler, "allowed_failures", 0)
    ((_, error),) = each(fatal, [1], scheduler=cluster.scheduler_address)
    assert isinstance(error, EngineError) and "KilledWorker" in str(error) and "\n" not in str(error)
    monkeypatch.undo()
    assert dict(each(fatal, [0, 2], scheduler=cluster.scheduler_address)) == {0: 0, 1: 2}


def set_store(folder):
    os.environ["VAELIB_RUNS"] = folder


def fatal(item):
    if item == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return item


def test_a_scheduler_that_is_not_there_is_one_line(base, monkeypatch):
    monkeypatch.setattr(sweeps, "SECONDS_TO_ANSWER", 1)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(EngineError, match=f"no dask scheduler answers at tcp://127.0.0.1:{port}"):
        sweep([base], scheduler=f"tcp://127.0.0.1:{port}")
    with pytest.raises(EngineError, match="no dask scheduler answers at nonsense://here"):
        sweep([base], scheduler="nonsense://here")


def test_workers_with_a_store_of_their_own_that_is_not_shared_are_named(folder, base, cluster, monkeypatch):
    monkeypatch.setattr("vaelib.sweeps.SECONDS_TO_APPEAR", 1)
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


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ({"jobs": 0}, "jobs=0: expected 1 or more"),
        ({"scheduler": ""}, "scheduler='': expected the address of one"),
        ({"scheduler": "head-node"}, "scheduler='head-node': expected the address of one, such as tcp://host:8786"),
    ],
    ids=["no-jobs", "empty", "no-address"],
)
def test_places_that_cannot_be_are_refused(folder, base, place, message):
    with pytest.raises(ConfigError, match=message):
        sweep([base], **place)
    assert made(folder) == []


def test_an_error_is_a_result_and_stops_no_other():
    results = dict(each(lambda n: 1 // n, [1, 0, 2], jobs=1))
    assert (results[0], results[2]) == (1, 0) and isinstance(results[1], ZeroDivisionError)
    assert list(each(fatal, [], jobs=2)) == []


def test_a_run_that_is_another_than_its_name_says_stops_a_sweep(folder, base):
    other = train_all([base.replace(seed=1)], jobs=1)[0]
    os.rename(other.path, Store().path(base))
    with pytest.raises(StoreError, match=r"seed=1 \(asked for: 0\)"):
        sweep([base], jobs=1)


def test_nothing_to_do_has_a_table_too(base):
    result = SweepResult([], {})
    assert result.report() == "runs: 0 finished, 0 failed" and result.table().empty


def test_a_worker_has_one_thread_and_that_store_and_gives_both_back(folder, monkeypatch):
    threads = torch.get_num_threads()
    with at_work("elsewhere"):
        assert torch.get_num_threads() == 1 and Store().folder == Path("elsewhere")
    assert torch.get_num_threads() == threads and Store().folder == folder
    monkeypatch.delenv("VAELIB_RUNS")
    with at_work("elsewhere"):
        pass
    assert "VAELIB_RUNS" not in os.environ


def test_a_sweep_on_this_machine_gives_the_bits_of_a_run_alone(folder, base):
    configs = [base.replace(seed=seed) for seed in (3, 1, 3)]
    found = train_all(configs, jobs=2)
    assert [run.config.seed for run in found] == [3, 1, 3] and found[0].environment["threads"] == 1
    there = found[1].model.state_dict()
    found[1].path.rename(folder / "there")
    alone = train_all([base.replace(seed=1)], jobs=1)[0]
    assert all(torch.equal(value, there[name]) for name, value in alone.model.state_dict().items())


def test_a_killed_process_of_this_machine_is_one_line():
    with pytest.raises(EngineError, match=r"a worker process was killed.*asking again goes on"):
        list(each(fatal, [0, 1, 2], jobs=2))


def served(*arguments):
    """A process of dask that is this test's own to kill."""
    command = [sys.executable, "-m", f"distributed.cli.{arguments[0]}", *arguments[1:], "--no-dashboard"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@pytest.fixture
def lonely():
    """A scheduler in a process of its own, with no workers: its process and its address."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    process = served("dask_scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-show")
    yield process, f"tcp://127.0.0.1:{port}"
    process.kill()
    process.wait()


def test_a_scheduler_that_dies_is_one_line_and_so_is_one_without_workers(lonely, monkeypatch, capfd):
    process, address = lonely
    monkeypatch.setattr(sweeps, "SECONDS_BETWEEN_LOOKS", 0.1)
    gone = r"scheduler at .* is gone; what is finished is kept, and asking again goes on"
    with warnings.catch_warnings(record=True) as warned, pytest.raises(EngineError, match=gone):
        threading.Timer(0.1, lambda: kill_when(warned, process)).start()
        list(each(abs, [0, 2], scheduler=address))
    assert [str(one.message) for one in warned] == [f"the scheduler at {address} has no workers: waiting for some"]
    assert "Traceback" not in capfd.readouterr().err


def kill_when(warned, process):
    while not warned:
        time.sleep(0.05)
    time.sleep(0.5)  # a few more looks, which say nothing
    process.kill()


def test_workers_end_with_the_process_that_asked_even_if_it_was_killed(folder):
    item = "import os, time; os.mkdir(str(os.getpid())); time.sleep(300)"
    code = f"from vaelib.sweeps import each; list(each(exec, [{item!r}] * 2, jobs=2))"
    asking = subprocess.Popen([sys.executable, "-c", code], cwd=folder)
    until(lambda: len(made(folder)) == 2)
    asking.kill()
    asking.wait()
    until(lambda: not any(alive(int(pid)) for pid in made(folder)))


def alive(pid):
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def until(holds, seconds=60):
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)
