"""One task for each of many items: on the processes of this machine (joblib), or on a cluster (dask)."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, TypeVar

from vaelib.store import BusyError

__all__ = ["EngineError", "each"]

Item = TypeVar("Item")
SECONDS_TO_ANSWER = 20
FIRST_WAIT, LONGEST_WAIT = 0.5, 10.0  # seconds; each is twice as long as the last, until something is done
ALONE = threading.RLock()  # a task uses what its process has only once: torch's threads, its random numbers


class EngineError(RuntimeError):
    """The processes or the cluster that should do the work are not there, or died."""


def each(
    task: Callable[[Item], Any], items: Sequence[Item], jobs: int | None = None, scheduler: str | None = None
) -> Iterator[tuple[int, Any]]:
    """Calls ``task(item)`` for all items; yields (index, result) as they finish. An error is a result, and stops none.

    Without a `scheduler`, `jobs` processes of this machine share the work, by default one a core. With one, such as
    ``"tcp://host:8786"``, the workers of that dask cluster do; what a worker had in hand when it died goes to another.
    An item that some other process is at, so that the task raises BusyError, is asked for again after the others.

    Raises:
        EngineError: the cluster does not answer, or a process of this machine was killed.
    """
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


def _on_this_machine(task: Callable[[Item], Any], items: Sequence[Item], jobs: int | None) -> Iterator[tuple[int, Any]]:
    import joblib
    from joblib.externals.loky.process_executor import BrokenProcessPool

    jobs = min(jobs or joblib.cpu_count(), len(items))
    tasks = (joblib.delayed(_attempt)(task, index, item) for index, item in enumerate(items))
    interrupted = threading.Event()
    try:
        with _ending_workers_first(interrupted) if jobs > 1 else nullcontext():
            yield from joblib.Parallel(n_jobs=jobs, return_as="generator_unordered", batch_size=1)(tasks)
    except BrokenProcessPool:
        if interrupted.is_set():
            raise KeyboardInterrupt from None
        raise EngineError(
            "a worker process was killed, perhaps for want of memory (try fewer jobs); what is finished is kept, and "
            "asking again goes on from there"
        ) from None


@contextmanager
def _ending_workers_first(interrupted: threading.Event) -> Iterator[None]:
    """On Ctrl-C kills the workers, whose runs have checkpoints: a pool without workers ends, a busy one may not."""

    def stop(*_: object) -> None:
        interrupted.set()
        for worker in multiprocessing.active_children():
            if worker.pid:
                os.kill(worker.pid, signal.SIGKILL)

    if threading.current_thread() is not threading.main_thread():  # only the main thread hears of signals
        yield
        return
    previous = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
    if interrupted.is_set():
        raise KeyboardInterrupt


def _on_cluster(task: Callable[[Item], Any], items: Sequence[Item], scheduler: str) -> Iterator[tuple[int, Any]]:
    try:
        from distributed import Client, as_completed
    except ImportError:
        raise EngineError("a scheduler needs dask: pip install 'vaelib[cluster]'") from None
    try:
        client = Client(scheduler, timeout=SECONDS_TO_ANSWER)
    except (OSError, ValueError) as error:
        raise EngineError(f"no dask scheduler answers at {scheduler} ({_line(error)})") from None
    with client:
        if not client.scheduler_info()["workers"]:
            warnings.warn(f"the scheduler at {scheduler} has no workers yet: waiting for some", stacklevel=2)
        futures = {client.submit(_attempt, task, index, item, pure=False): index for index, item in enumerate(items)}
        for future in as_completed(futures):
            lost = future.exception()  # the task's own errors are results: this one is the cluster's
            yield future.result() if lost is None else (futures[future], EngineError(_line(lost)))


def _attempt(task: Callable[[Item], Any], index: int, item: Item) -> tuple[int, Any]:
    with ALONE:
        try:
            return index, task(item)
        except Exception as error:
            return index, error.with_traceback(None)


def _line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
