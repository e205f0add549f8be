"""``vaelib train`` and ``vaelib sweep``: the options are the settings of `RunConfig`, of the family that is named."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any

from cyclopts import Parameter
from pydantic import create_model

from vaelib import runs, sweeps
from vaelib.cli.options import describe
from vaelib.cli.text import duration, metrics_table, table
from vaelib.config import Config, parse_axes
from vaelib.config import grid as combinations
from vaelib.models.base import family_of
from vaelib.runs import RunConfig
from vaelib.training import INTERRUPTED

__all__ = ["choose_family", "given", "sweep", "sweep_and_print", "train", "train_and_print"]

FAMILY = "--model.family"
DEFAULTS: Any = RunConfig()


def choose_family(arguments: Sequence[str], *commands: Any) -> None:
    """Gives `commands`, by default `train` and `sweep`, the options of the family that the arguments name.

    Raises:
        ConfigError: an unknown family; names the nearest.
    """
    words = [word for argument in arguments for word in argument.split("=", 1)]
    name = words[words.index(FAMILY) + 1] if FAMILY in words[:-1] else "vae"
    family = family_of({"family": name})
    parts = {"model": family.Settings, "objective": family.Objective}
    fields: dict[str, Any] = {part: (kind, kind()) for part, kind in parts.items()}
    concrete = create_model("RunConfig", __base__=RunConfig, **fields)
    describe(concrete)
    for command in commands or (train, sweep):
        command.__annotations__["config"] = Annotated[concrete, Parameter(name="*")]
        command.__kwdefaults__["config"] = concrete()


def train(*, config: Any = DEFAULTS, quiet: bool = False) -> None:
    """
    Parameters
    ----------
    quiet
        show no progress
    """
    train_and_print(plain(config), quiet)


def sweep(
    *, grid: list[str], config: Any = DEFAULTS, jobs: int | None = None, scheduler: str | None = None, together: int = 1
) -> int:
    """
    Parameters
    ----------
    grid
        settings and their values: model.latent-dim=2,5 seed=0,1,2
    jobs
        how many runs at a time on this machine; by default one a core
    scheduler
        the address of a dask scheduler whose workers train instead; they must see the store (VAELIB_RUNS)
    together
        how many runs of one shape each process trains in one program; equal to separate ones but for rounding
    """
    return sweep_and_print(combinations(plain(config), **parse_axes(grid)), jobs, scheduler, together)


def plain(config: Any) -> RunConfig:
    """The `RunConfig` that the options describe."""
    return RunConfig(**{name: getattr(config, name) for name in RunConfig.model_fields})


def train_and_print(config: RunConfig, quiet: bool = False) -> None:
    """Trains or loads the run, and says where it is and what it reached."""
    store = runs.Store()
    held = store.holds(store.path(config))
    with stopping_at_an_epoch():
        run = runs.train(config, progress=False if quiet else None)
    print(run.path)
    print(f"{'loaded: it was trained before,' if held else 'trained'} in {duration(run.environment['seconds'])}")
    print(metrics_table(run.metrics, run.config.model.family))


def sweep_and_print(
    configs: Sequence[RunConfig], jobs: int | None = None, scheduler: str | None = None, together: int = 1
) -> int:
    """Trains the runs and prints their table; returns the exit status."""
    result = sweeps.sweep(configs, jobs, scheduler, together=together)
    print(table(result.table()))
    print(result.report(), file=sys.stderr)
    return int(bool(result.failures))


@contextmanager
def stopping_at_an_epoch() -> Iterator[None]:
    """The first Ctrl-C lets the current epoch end and saves a checkpoint, the second stops at once."""

    def stop(*_: Any) -> None:
        if INTERRUPTED.is_set():
            raise KeyboardInterrupt
        INTERRUPTED.set()
        print("vaelib: stopping at the end of this epoch (Ctrl-C again: at once)", file=sys.stderr, flush=True)

    previous = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
        INTERRUPTED.clear()


def given(config: Config) -> dict[str, Any]:
    """The settings that were typed, by their dotted names."""
    typed: dict[str, Any] = {}
    for name in config.model_fields_set:
        value = getattr(config, name)
        typed |= {f"{name}.{k}": v for k, v in given(value).items()} if isinstance(value, Config) else {name: value}
    return typed
