"""Many runs at once: on the cores of this machine or the workers of a cluster, one thread each, none twice."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from vaelib.data import prepare
from vaelib.engine import EngineError, each
from vaelib.grid import differing, flat, grid
from vaelib.progress import bar
from vaelib.runs import (
    RUNS_DIR_VARIABLE,
    BrokenRunError,
    Run,
    RunConfig,
    load,
    run_directory,
    store_directory,
    train_or_load,
)
from vaelib.tables import COLUMNS

__all__ = ["EngineError", "SweepResult", "at_work", "grid", "sweep", "train_all"]

SECONDS_TO_APPEAR = 60  # a network file system may show late what another machine has written


@dataclass(frozen=True)
class SweepResult:
    """What became of a sweep: the finished `runs`, in the order asked for, and why the others failed."""

    runs: list[Run]
    failures: dict[RunConfig, Exception]

    def report(self) -> str:
        """One line on the whole, and one for each failure."""
        lines = [f"runs: {len(self.runs)} finished, {len(self.failures)} failed"]
        names = differing([*(run.config for run in self.runs), *self.failures])
        for config, error in self.failures.items():
            lines.append(f"  {_title(config, names)}: {type(error).__name__}: {error}")
        return "\n".join(lines)

    def table(self, part: str = "test") -> pd.DataFrame:
        """The `rows` as a table; what a row lacks is nan there."""
        return pd.DataFrame(self.rows(part))

    def rows(self, part: str = "test") -> list[dict[str, Any]]:
        """One for each run, finished or not: the settings that differ, then the figures on `part` of the data."""
        names = differing([*(run.config for run in self.runs), *self.failures])
        rows: list[dict[str, Any]] = []
        for run in self.runs:
            found = {figure: run.metrics[part][figure] for figure in COLUMNS if figure in run.metrics[part]}
            figures = {
                COLUMNS[key]: -value if key in ("elbo", "reconstruction") else value for key, value in found.items()
            }
            rows.append({**_chosen(run.config, names), **figures, "epochs": run.metrics["epochs"]})
        rows += [_chosen(config, names) | {"failed": type(error).__name__} for config, error in self.failures.items()]
        return rows


def sweep(configs: Iterable[RunConfig], jobs: int | None = None, scheduler: str | None = None) -> SweepResult:
    """Trains those of `configs` that are not in the store; a run that fails, such as one that diverges, stops no other.

    Asked for again, it goes on where it stopped. `jobs` processes of this machine work at a time, by default one a
    core; or, with a `scheduler` such as ``"tcp://host:8786"``, the workers of that dask cluster, which must see the
    store: the folder in their VAELIB_RUNS, else this process's. Each run trains with one thread, so that a run's bits
    do not depend on how many run beside it; two one-thread processes also do more work than one with two threads.

    Raises:
        ConfigError, DataError: for data that cannot be used, before any work.
        EngineError: the cluster does not answer, or a process of this machine was killed.
    """
    configs = list(configs)
    paths = _paths(configs)
    runs = {config: run for config, path in paths.items() if (run := _finished(path))}
    missing = [config for config in paths if config not in runs]
    failures: dict[RunConfig, Exception] = {}
    made: dict[RunConfig, str] = {}
    task = _Training(str(store_directory().absolute()), workers_choose=scheduler is not None)
    with bar(total=len(missing), desc="runs", unit="run") as shown:
        for index, result in each(task, missing, jobs, scheduler):
            if isinstance(result, Exception):
                failures[missing[index]] = result
            else:
                made[missing[index]] = result
            shown.set_postfix_str(f"{len(failures)} failed" if failures else "")
            shown.update()
    deadline = time.monotonic() + SECONDS_TO_APPEAR
    for config, place in made.items():
        if run := _finished(paths[config], deadline):
            runs[config] = run
        else:
            failures[config] = EngineError(f"a worker made the run in {place}, which this store does not have")
    return SweepResult([runs[config] for config in configs if config in runs], failures)


def train_all(configs: Iterable[RunConfig], jobs: int | None = None, scheduler: str | None = None) -> list[Run]:
    """The finished runs of `configs`, in their order; see `sweep`.

    Raises:
        NonFiniteLossError, StoreError, ...: why a run failed, when all others are finished.
    """
    result = sweep(configs, jobs, scheduler)
    for error in result.failures.values():
        raise error
    return result.runs


@dataclass(frozen=True)
class _Training:
    """Trains one run, with one thread, into `store`, and returns its directory.

    Where `workers_choose`, a store that the worker's own environment names comes first.
    """

    store: str
    workers_choose: bool

    def __call__(self, config: RunConfig) -> str:
        own = os.environ.get(RUNS_DIR_VARIABLE)
        with at_work(own if own and self.workers_choose else self.store):
            return str(train_or_load(config, progress=False, wait=False).path)


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


def _paths(configs: Iterable[RunConfig]) -> dict[RunConfig, Path]:
    """Where each run is or will be; a data set is prepared once, not once a run."""
    wanted = list(dict.fromkeys(configs))
    paths: dict[RunConfig, Path] = {}
    for data in dict.fromkeys(config.data for config in wanted):
        prepared = prepare(data)
        paths |= {config: run_directory(config, prepared) for config in wanted if config.data == data}
    return {config: paths[config] for config in wanted}


def _finished(path: Path, deadline: float = 0.0) -> Run | None:
    """The run at `path`; None if it is not there by then, or damaged: `train_or_load` sees to it."""
    while True:
        try:
            return load(path)
        except BrokenRunError:
            if time.monotonic() > deadline:
                return None
            time.sleep(0.5)


def _chosen(config: RunConfig, names: Iterable[str]) -> dict[str, Any]:
    settings = flat(config)
    return {name: settings[name] for name in names}


def _title(config: RunConfig, names: Iterable[str]) -> str:
    return " ".join(f"{name}={value}" for name, value in _chosen(config, names).items()) or "the run"
