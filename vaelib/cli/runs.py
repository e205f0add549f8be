"""``vaelib evaluate`` and ``vaelib runs``: what a finished run is worth; the store's list, one run, deleting."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd

from vaelib.cli.text import duration, metrics_table, table
from vaelib.config import ConfigError, parse_axes, pick, unknown
from vaelib.data import DataError, binarise
from vaelib.figures import TITLES, metrics_in
from vaelib.store import MANIFEST, BrokenRunError, Directories, StoreError, runs_folder

PARTS = ("train", "validation", "test")
ELBO = TITLES["elbo"] + ", test"
SHOWN = ("model.family", "training.optimiser", "seed", "seconds")  # what every finished run has
SORTS = {"run": "run", "data": "data", "family": "family", "elbo": ELBO, "seconds": "seconds", "made": "made"}


def evaluate(run: str, *, samples: int = 5000, part: str = "test", images: int | None = None, seed: int = 0) -> None:
    """
    Parameters
    ----------
    run
        its name in the store, a part of it that no other run has, or its folder
    samples
        draws of z for each image; 0 leaves log p(x) out
    part
        of the data: train, validation or test
    images
        only so many of them, the first
    seed
        of the draws
    """
    import torch

    from vaelib.evaluation import log_likelihood
    from vaelib.runs import Store, data_of

    if samples < 0 or samples == 1 or (images is not None and images < 1):
        raise ConfigError("--samples is 0 or at least 2, --images at least 1")
    pick("part", part, PARTS)
    found = Store().load(run)
    x = getattr(data_of(found), part)[:images] if samples else None
    print(found.path.name)
    print(metrics_table(found.metrics, found.config.model.family))
    if x is None:
        return
    if not len(x):
        raise DataError(f"the split of {found.path.name} has no {part} images")
    kind = f"{part} images"
    if found.config.data.pixels == "dynamic":
        x, kind = binarise(x, seed), f"{part} images, binarised with seed {seed}"
    estimate = log_likelihood(found.model, torch.from_numpy(x), samples, torch.Generator().manual_seed(seed))
    value, error = estimate.mean()
    few = estimate.effective_samples.median()
    what = "log p(x)" if found.model.tightens else "a bound of log p(x)"
    print(f"{what} of {len(x):,} {kind}, {samples:,} samples ({few:.0f} effective): {value:.3f} +- {error:.3f} nats")


def list_runs(*, where: list[str] | None = None, sort: str = "run") -> None:
    """
    Parameters
    ----------
    where
        only runs with these settings: data.name=mnist training.optimiser=adam,adagrad
    sort
        by run, data, family, elbo (the best first), seconds or made (the newest last)
    """
    pick("order", sort, SORTS)
    wanted, store = parse_axes(where or ()), Directories(runs_folder())
    found = [(name, _files(store, name)) for name in store.names()]
    settings = {key for _, files in found if isinstance(files, dict) for key in files["settings"]}
    for name in wanted:
        if found and name not in settings:
            raise ConfigError(unknown("setting", name, settings))
    rows = [_row(store, name, files) for name, files in found if not wanted or _has(files, wanted)]
    if not rows:
        print(f"no {'such ' if wanted else ''}runs in {store.folder}")
        return
    listed = pd.DataFrame(rows)
    if SORTS[sort] in listed:
        listed = listed.sort_values(SORTS[sort], kind="stable")
    if "seconds" in listed:
        listed["seconds"] = [duration(value) if value == value else "" for value in listed["seconds"]]
    print(table(listed.rename(columns={"seconds": "took"})))
    print(f"{len(rows)} in {store.folder}")


def show(run: str) -> None:
    """
    Parameters
    ----------
    run
        its name, a part of it that no other run has, or its folder
    """
    store = Directories(runs_folder())
    path = Path(run) if Path(run, MANIFEST).exists() else store.find(run)
    files = _read(store, path)
    print(path)
    for name, value in files["settings"].items():
        print(f"  {name:<30} {value}")
    print(metrics_table(files["metrics"], files["settings"]["model.family"]))
    print(f"{files['metrics']['epochs']} epochs")
    for name, value in files["environment"].items():
        print(f"  {name:<30} {value}")


def remove(*runs: str, yes: bool = False) -> None:
    """
    Parameters
    ----------
    runs
        their names, or parts of them that no other run has
    yes
        do not ask
    """
    if not runs:
        raise ConfigError("runs rm needs the name of a run (vaelib runs list)")
    store = Directories(runs_folder())
    names = [store.named(run).name for run in runs]
    if not yes and not _agreed(names):
        raise ConfigError("nothing was deleted: say --yes")
    for name in names:
        store.remove(name)
        print(f"deleted {name}")


def _read(store: Directories, path: Path) -> dict[str, Any]:
    """What a finished run's files say, without its weights: "settings" by their dotted names, metrics, environment."""
    content = store.read(path)
    try:
        config, made = (json.loads(content[f"{part}.json"]) for part in ("config", "environment"))
        settings = _flat(config) | {"data.name": made["data_name"]}
        if absent := {*SHOWN} - {*settings, *made}:
            raise LookupError(f"without {', '.join(sorted(absent))}")
        return {"settings": settings, "metrics": metrics_in(content["metrics.json"]), "environment": made}
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise BrokenRunError(f"the run in {path} is not one of this version of vaelib ({error!r})") from None


def _files(store: Directories, name: str) -> dict[str, Any] | str:
    """The same, or why there is none."""
    path = store.folder / name
    if not path.exists():
        return "unfinished"
    try:
        return _read(store, path)
    except BrokenRunError:
        return "damaged"
    except StoreError:  # another version's, or one that we may not read
        return "not readable"


def _flat(settings: dict[str, Any]) -> dict[str, Any]:
    inner = {name: _flat(value) if isinstance(value, dict) else {"": value} for name, value in settings.items()}
    return {f"{name}.{key}".rstrip("."): value for name, part in inner.items() for key, value in part.items()}


def _has(files: dict[str, Any] | str, wanted: dict[str, list[Any]]) -> bool:
    if isinstance(files, str):
        return False
    found = files["settings"]
    return all(found.get(name) in values or _last(found.get(name)) in values for name, values in wanted.items())


def _last(value: Any) -> Any:
    """Of a path, its last part, which the list shows."""
    return Path(value).name if isinstance(value, str) else value


def _row(store: Directories, name: str, files: dict[str, Any] | str) -> dict[str, Any]:
    if isinstance(files, str):
        return {"run": name, "state": files}
    settings, metrics = files["settings"], files["metrics"]
    return {
        "run": name,
        "state": "finished",
        "data": _last(settings["data.name"]),
        "family": settings["model.family"],
        "likelihood": settings.get("model.likelihood.name", ""),
        "hidden": "+".join(map(str, settings.get("model.hidden", ()))),
        "optimiser": settings["training.optimiser"],
        "seed": settings["seed"],
        "epochs": metrics["epochs"],
        ELBO: round(-metrics["test"]["elbo"], 2) if "elbo" in metrics.get("test", {}) else None,
        "seconds": files["environment"]["seconds"],
        "made": datetime.fromtimestamp((store.folder / name / MANIFEST).stat().st_mtime).strftime("%Y-%m-%d %H:%M"),
    }


def _agreed(names: list[str]) -> bool:
    if sys.stdin is None or not sys.stdin.isatty():
        return False
    print("\n".join(names))
    return input(f"Delete {len(names)}? [y/N] ").strip().lower() in ("y", "yes")
