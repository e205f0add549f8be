"""``vaelib train`` and ``vaelib sweep``: the options are the settings of `RunConfig`."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import pandas as pd
from cyclopts import Parameter

from vaelib import sweep as engine
from vaelib.checkpoints import INTERRUPTED
from vaelib.cli.text import table
from vaelib.config import Config
from vaelib.grid import amended, grid, parse_axes
from vaelib.recipes import Recipe, digits_recipe, faces_recipe
from vaelib.runs import Run, RunConfig, train_or_load
from vaelib.tables import COLUMNS

FACES = ("frey", "toyfaces")

DEFAULTS = RunConfig()
Settings = Annotated[RunConfig, Parameter(name="*")]


def train(*, config: Settings = DEFAULTS, recipe: Recipe | None = None, quiet: bool = False) -> None:
    """
    Parameters
    ----------
    recipe
        one of the book's ways of training, made for faces where the data are; options change it
    quiet
        show no progress
    """
    wanted = _settled(config, recipe)
    with stopping_at_an_epoch():
        run = train_or_load(wanted, progress=False if quiet else None)
    print(run.path)
    print(figures(run).to_string())


def sweep(
    *,
    grid: list[str],
    config: Settings = DEFAULTS,
    recipe: Recipe | None = None,
    jobs: int | None = None,
    scheduler: str | None = None,
) -> int:
    """
    Parameters
    ----------
    grid
        settings and their values: model.latent_dim=2,5 seed=0,1,2
    recipe
        as for `vaelib train`
    jobs
        how many runs at a time on this machine; by default one a core
    scheduler
        the address of a dask scheduler whose workers train instead; they must see the store (VAELIB_RUNS)
    """
    result = engine.sweep(_combinations(config, recipe, grid), jobs, scheduler)
    print(table(result.rows()))
    print(result.report(), file=sys.stderr)
    return int(bool(result.failures))


def figures(run: Run) -> pd.DataFrame:
    """The figures of a run, a row for each part of the data; the ELBO and the reconstruction change their sign."""
    signs = {key: -1 if key in ("elbo", "reconstruction") else 1 for key in COLUMNS}
    parts = {part: values for part, values in run.metrics.items() if isinstance(values, dict)}
    rows = {
        part: {COLUMNS[key]: round(sign * values[key], 4) for key, sign in signs.items() if key in values}
        for part, values in parts.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index")


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


def _combinations(config: RunConfig, recipe: Recipe | None, axes: list[str]) -> list[RunConfig]:
    return grid(_settled(config, recipe), **parse_axes(axes))


def _settled(config: RunConfig, recipe: Recipe | None) -> RunConfig:
    """The options that were given, on top of the recipe."""
    if recipe is None:
        return config
    make = faces_recipe if config.data.name in FACES else digits_recipe
    return amended(make(recipe, config.data), _given(config))


def _given(config: Config) -> dict[str, Any]:
    """The settings that were typed, by their dotted names."""
    given: dict[str, Any] = {}
    for name in config.model_fields_set:
        value = getattr(config, name)
        given |= {f"{name}.{k}": v for k, v in _given(value).items()} if isinstance(value, Config) else {name: value}
    return given
