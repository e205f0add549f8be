"""``vaelib evaluate`` and ``vaelib runs``: what a finished run is worth; the store's list, one run, deleting."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from vaelib.cli.text import metrics_table, table
from vaelib.config import ConfigError, flat, pick
from vaelib.data import DataError, binarise
from vaelib.evaluation import TITLES, log_likelihood
from vaelib.runs import Store, data_of
from vaelib.store import MANIFEST, BrokenRunError, StoreError

PARTS = ("train", "validation", "test")


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
    if samples < 0 or samples == 1 or (images is not None and images < 1):
        raise ConfigError("--samples is 0 or at least 2, --images at least 1")
    pick("part", part, PARTS)
    found = Store().load(run)
    x = getattr(data_of(found), part)[:images] if samples else None
    print(found.path.name)
    print(metrics_table(found))
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
    print(f"log p(x) of {len(x):,} {kind}, {samples:,} samples ({few:.0f} effective): {value:.3f} +- {error:.3f} nats")


def list_runs() -> None:
    store = Store()
    rows = [_row(store, name) for name in store.names()]
    if not rows:
        print(f"no runs in {store.folder}")
        return
    print(table(pd.DataFrame(rows)))
    print(f"{len(rows)} in {store.folder}")


def show(run: str) -> None:
    """
    Parameters
    ----------
    run
        its name, a part of it that no other run has, or its folder
    """
    found = Store().load(run)
    print(found.path)
    for name, value in flat(found.config).items():
        print(f"  {name:<30} {value}")
    print(metrics_table(found))
    print(f"{found.metrics['epochs']} epochs")
    for name, value in found.environment.items():
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
    store = Store()
    names = [store.named(run).name for run in runs]
    if not yes and not _agreed(names):
        raise ConfigError("nothing was deleted: say --yes")
    for name in names:
        store.remove(name)
        print(f"deleted {name}")


def _row(store: Store, name: str) -> dict[str, Any]:
    path = store.folder / name
    if not path.exists():
        return {"run": name, "state": "unfinished"}
    try:
        files = store.read(path)
        config, metrics, made = (json.loads(files[f"{part}.json"]) for part in ("config", "metrics", "environment"))
        likelihood = config["model"].get("likelihood", {}).get("name", "")
        return {
            "run": name,
            "state": "finished",
            "data": Path(config["data"]["name"]).name,
            "family": config["model"]["family"],
            "likelihood": likelihood,
            "hidden": "+".join(map(str, config["model"].get("hidden", ()))),
            "optimiser": config["training"]["optimiser"],
            "seed": config["seed"],
            "epochs": metrics["epochs"],
            TITLES["elbo"] + ", test": round(-metrics["test"]["elbo"], 2) if "elbo" in metrics["test"] else None,
            "minutes": round(made["seconds"] / 60, 1),
            "made": datetime.fromtimestamp((path / MANIFEST).stat().st_mtime).strftime("%Y-%m-%d %H:%M"),
        }
    except (BrokenRunError, ValueError, LookupError, TypeError):
        return {"run": name, "state": "damaged"}
    except StoreError:  # another version's, or one that we may not read
        return {"run": name, "state": "not readable"}


def _agreed(names: list[str]) -> bool:
    if sys.stdin is None or not sys.stdin.isatty():
        return False
    print("\n".join(names))
    return input(f"Delete {len(names)}? [y/N] ").strip().lower() in ("y", "yes")
