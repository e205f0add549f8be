"""Many runs at once: on the cores of this machine or the workers of a dask cluster, one thread each, none twice."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, TypeVar

import pandas as pd
import torch

from vaelib.config import ConfigError, differing, flat
from vaelib.data import prepare
from vaelib.members import Group, grouped, suited, train_group
from vaelib.progress import TITLES, bar, log, signed
from vaelib.runs import Run, RunConfig, Store, train
from vaelib.store import RUNS_DIR_VARIABLE, BusyError, StoreError

__all__ = ["EngineError", "SweepResult", "at_work", "each", "sweep", "train_all"]

Item = TypeVar("Item")
SECONDS_TO_ANSWER = 20
SECONDS_BETWEEN_LOOKS = 5  # whether a cluster still has workers
SECONDS_TO_APPEAR = 60  # a network file system may show late what another machine has written
FIRST_WAIT, LONGEST_WAIT = 0.5, 10.0  # seconds; each is twice as long as the last, until something is done
ALONE = threading.RLock()  # a task uses what its process has only once: torch's threads, its random numbers


class EngineError(RuntimeError):
    """The processes or the cluster that should do the work are not there, or died."""


@dataclass(frozen=True)
class SweepResult:
    """What became of a sweep: the finished `runs`, in the order asked for, and why the others failed."""

    runs: list[Run]
    failures: dict[RunConfig, Exception]

    def _chosen(self) -> dict[RunConfig, dict[str, Any]]:
        """Of each run, finished or not, the settings that differ between them, by their dotted names."""
        settings = {config: flat(config) for config in [*(run.config for run in self.runs), *self.failures]}
        names = differing(settings)
        return {config: {name: own[name] for name in names if name in own} for config, own in settings.items()}

    def report(self) -> str:
        """One line on the whole, and one for each failure."""
        lines, chosen = [f"runs: {len(self.runs)} finished, {len(self.failures)} failed"], self._chosen()
        for config, error in self.failures.items():
            title = " ".join(f"{name}={value}" for name, value in chosen[config].items()) or "the run"
            lines.append(f"  {title}: {type(error).__name__}: {error}")
        return "\n".join(lines)

    def table(self, part: str = "test") -> pd.DataFrame:
        """One row for each run, finished or not: the settings that differ, then the figures on `part` of the data.

        What a row lacks is nan.
        """
        rows: list[dict[str, Any]] = []
        chosen = self._chosen()
        for run in self.runs:
            figures = run.metrics[part]
            found = {title: signed(key, figures[key]) for key, title in TITLES.items() if key in figures}
            rows.append({**chosen[run.config], **found, "epochs": run.metrics["epochs"]})
        rows += [chosen[config] | {"failed": type(error).__name__} for config, error in self.failures.items()]
        return pd.DataFrame(rows)


def sweep(
    configs: Iterable[RunConfig], jobs: int | None = None, scheduler: str | None = None, *, together: int = 1
) -> SweepResult:
    """Trains those of `configs` that are not in the store; a run that fails, such as one that diverges, stops no other.

    Asked for again, it goes on where it stopped. `jobs` processes of this machine work at a time, by default one a
    core; or, with a `scheduler` such as ``"tcp://host:8786"``, the workers of that dask cluster, which must see the
    store: the folder in their VAELIB_RUNS, else this process's. Each run trains with one thread, so that a run's bits
    do not depend on how many run beside it; two one-thread processes also do more work than one with two threads.

    With `together`, each process or worker trains up to so many runs of one shape in one program, as
    `members.grouped` has them. Leave a group for each process. A run so trained equals its separate training but for
    rounding, and has the same bits whenever the same `configs` are asked for with the same `together`; one that is in
    the store stays as it is. Those whose family does not allow it are trained alone, with a warning.

    Raises:
        ConfigError, DataError: for data or settings that cannot be used, before any work.
        EngineError: the cluster does not answer, or a process of this machine was killed.
        StoreError: a run in the store cannot be read, or is another than its name says.
    """
    configs, store = list(configs), Store()
    paths = {config: store.path(config) for config in dict.fromkeys(configs)}
    runs = {config: store.load(path, config) for config, path in paths.items() if store.holds(path)}
    groups = [group for group in grouped(configs, together) if any(config not in runs for config in group)]
    missing = [config for config in paths if config not in runs]
    for data in dict.fromkeys(config.data for config in missing):
        prepare(data)  # what cannot be used is said before any work
    groups = [group for group in suited(groups) if any(config not in runs for config in group)]
    failures: dict[RunConfig, Exception] = {}
    made: dict[RunConfig, str] = {}
    task = partial(_trained, str(store.folder.absolute()), scheduler is not None)
    with bar(total=len(missing), desc="runs", unit="run") as shown:
        for index, result in each(task, groups, jobs, scheduler):
            outcomes = [result] * len(groups[index]) if isinstance(result, Exception) else result
            for config, outcome in zip(groups[index], outcomes, strict=True):
                if config not in runs:
                    (failures if isinstance(outcome, Exception) else made)[config] = outcome
                    what = paths[config].name + (f" failed: {outcome}" if isinstance(outcome, Exception) else "")
                    log(f"run {len(made) + len(failures)} of {len(missing)}: {what}")
                    shown.update()
            shown.set_postfix_str(f"{len(failures)} failed" if failures else "")
    deadline = time.monotonic() + SECONDS_TO_APPEAR
    for config, place in made.items():
        while not store.holds(paths[config]) and time.monotonic() < deadline:
            time.sleep(0.5)
        try:
            runs[config] = store.load(paths[config], config)
        except (ConfigError, StoreError):
            failures[config] = EngineError(f"a worker made the run in {place}, which this store does not have")
    return SweepResult([runs[config] for config in configs if config in runs], failures)


def train_all(
    configs: Iterable[RunConfig], jobs: int | None = None, scheduler: str | None = None, *, together: int = 1
) -> list[Run]:
    """The finished runs of `configs`, in their order; see `sweep`.

    Raises:
        NonFiniteLossError, StoreError, ...: why a run failed, when all others are finished.
    """
    result = sweep(configs, jobs, scheduler, together=together)
    for error in result.failures.values():
        raise error
    return result.runs


def each(
    task: Callable[[Item], Any], items: Sequence[Item], jobs: int | None = None, scheduler: str | None = None
) -> Iterator[tuple[int, Any]]:
    """Calls ``task(item)`` for all items; yields (index, result) as they finish. An error is a result, and stops none.

    Without a `scheduler`, `jobs` processes of this machine share the work, by default one a core. With one, such as
    ``"tcp://host:8786"``, the workers of that dask cluster do; what a worker had in hand when it died goes to another.
    An item that some other process is at, so that the task raises BusyError, is asked for again after the others.

    Raises:
        ConfigError: jobs or scheduler cannot be used.
        EngineError: the cluster does not answer or is gone, or a process of this machine was killed.
    """
    if jobs is not None and jobs < 1:
        raise ConfigError(f"jobs={jobs}: expected 1 or more")
    if scheduler is not None and "://" not in scheduler:
        raise ConfigError(f"scheduler={scheduler!r}: expected the address of one, such as tcp://host:8786")
    left, pause = list(range(len(items))), FIRST_WAIT
    while left:
        these, busy = [items[index] for index in left], []
        results = _on_cluster(task, these, scheduler) if scheduler else _on_this_machine(task, these, jobs)
        for position, result in results:
            if isinstance(result, BusyError):
                busy.append(left[position])
            else:
                yield left[position], result
        if len(busy) < len(left):
            pause = FIRST_WAIT
        else:  # nothing else to do
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_WAIT)
        left = sorted(busy)


@contextmanager
def at_work(store: str) -> Iterator[None]:
    """One thread, and that run store: what a worker works with."""
    threads, own = torch.get_num_threads(), os.environ.get(RUNS_DIR_VARIABLE)
    torch.set_num_threads(1)
    os.environ[RUNS_DIR_VARIABLE] = store
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        os.environ.pop(RUNS_DIR_VARIABLE)
        os.environ.update({RUNS_DIR_VARIABLE: own} if own else {})


def _trained(store: str, workers_choose: bool, group: Group) -> list[str | Exception]:
    """Trains one run, or several of one shape, with one thread into `store`: their directories, or why they failed.

    Where `workers_choose`, a store that the worker's own environment names comes first.
    """
    own = os.environ.get(RUNS_DIR_VARIABLE)
    with at_work(own if own and workers_choose else store):
        if len(group) == 1:
            return [str(train(group[0], progress=False, wait=False).path)]
        found = train_group(group, progress=False, wait=False)
        return [outcome if isinstance(outcome, Exception) else str(outcome) for outcome in found]


def _on_this_machine(task: Callable[[Item], Any], items: Sequence[Item], jobs: int | None) -> Iterator[tuple[int, Any]]:
    import joblib
    from joblib.externals.loky.process_executor import BrokenProcessPool

    jobs = min(jobs or joblib.cpu_count(), len(items))
    tasks = (joblib.delayed(_attempt)(task, index, item, os.getpid()) for index, item in enumerate(items))
    stopped = threading.Event()
    try:
        with _ending_workers_first(stopped) if jobs > 1 else nullcontext():
            yield from joblib.Parallel(n_jobs=jobs, return_as="generator_unordered", batch_size=1)(tasks)
    except BrokenProcessPool:
        if stopped.is_set():
            raise KeyboardInterrupt from None
        raise EngineError(
            "a worker process was killed, perhaps for want of memory (try fewer jobs); what is finished is kept, and "
            "asking again goes on from there"
        ) from None


@contextmanager
def _ending_workers_first(stopped: threading.Event) -> Iterator[None]:
    """On Ctrl-C or SIGTERM kills the workers, whose runs have checkpoints: a pool without any ends."""

    def stop(*_: object) -> None:
        stopped.set()
        for worker in multiprocessing.active_children():
            if worker.pid:
                os.kill(worker.pid, signal.SIGKILL)

    if threading.current_thread() is not threading.main_thread():  # only the main thread hears of signals
        yield
        return
    previous = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
    if stopped.is_set():
        raise KeyboardInterrupt


def _on_cluster(task: Callable[[Item], Any], items: Sequence[Item], scheduler: str) -> Iterator[tuple[int, Any]]:
    try:
        from distributed import Client, wait
    except ImportError:
        raise EngineError("a scheduler needs dask: pip install 'vaelib[cluster]'") from None
    try:
        client = Client(scheduler, timeout=SECONDS_TO_ANSWER)
    except (OSError, ValueError) as error:
        raise EngineError(f"no dask scheduler answers at {scheduler} ({_line(error)})") from None
    gone = f"the dask scheduler at {scheduler} is gone; what is finished is kept, and asking again goes on from there"
    left = {client.submit(_attempt, task, index, item, pure=False): index for index, item in enumerate(items)}
    alone = False
    with _without_its_tracebacks(), client:
        while left:
            try:
                workers = client.scheduler_info(n_workers=1)["workers"]
                if not (workers or alone):
                    warnings.warn(f"the scheduler at {scheduler} has no workers: waiting for some", stacklevel=2)
                alone = not workers
                done = wait(list(left), SECONDS_BETWEEN_LOOKS, "FIRST_COMPLETED").done
                if any(future.cancelled() for future in done):
                    raise CancelledError
            except TimeoutError:
                continue
            except (CancelledError, OSError):
                raise EngineError(gone) from None
            for future in done:
                index, lost = left.pop(future), future.exception()  # the task's own errors are results: this is not one
                yield future.result() if lost is None else (index, EngineError(_line(lost)))


@contextmanager
def _without_its_tracebacks() -> Iterator[None]:
    """What dask's client has to say of a lost connection, the caller says in one line."""
    logger = logging.getLogger("distributed.client")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


def _attempt(task: Callable[[Item], Any], index: int, item: Item, parent: int | None = None) -> tuple[int, Any]:
    if parent not in (None, os.getpid()):
        _end_with(parent)
    with ALONE:
        try:
            return index, task(item)
        except Exception as error:
            return index, error.with_traceback(None)


@cache
def _end_with(parent: int) -> None:
    """From here on this process, a worker, ends soon after its parent, whatever that died of: nobody waits for it."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
