"""What is stored: ``vaelib data``, ``vaelib runs`` and ``vaelib evaluate``; and the tables that commands print."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd

from vaelib import data
from vaelib.config import ConfigError, parse_axes, pick, unknown
from vaelib.data import PUBLISHED, DataError, binarise, held
from vaelib.progress import TITLES, metrics_in, signed
from vaelib.store import MANIFEST, BrokenRunError, Directories, StoreError, runs_folder

__all__ = ["duration", "metrics_table", "table"]

CONTENT = {
    "mnist": "70,000 handwritten digits, 28x28, labelled",
    "frey": "1,965 frames of a face, 28x20",
    "digits": "1,797 small digits, 8x8, labelled",
    "toyfaces": "1,965 drawn faces, 28x20, with their factors",
}
PARTS = ("train", "validation", "test")
ELBO = TITLES["elbo"] + ", test"
SHOWN = ("model.family", "training.optimiser", "seed", "seconds")  # what every finished run has
SORTS = {"run": "run", "data": "data", "family": "family", "elbo": ELBO, "seconds": "seconds", "made": "made"}


def table(rows: pd.DataFrame) -> str:
    """One line for each row below the names of all columns; what a row lacks is left empty."""
    if rows.empty:
        return ""
    return rows.to_string(index=False, na_rep="", float_format=lambda value: f"{value:.6g}")


def duration(seconds: float) -> str:
    """Below a minute in seconds: "3.2 s", else "12.5 min"."""
    return f"{seconds:.1f} s" if seconds < 60 else f"{seconds / 60:.1f} min"


def metrics_table(metrics: Mapping[str, Any], family: str) -> str:
    """The figures of a run, a row for each part of the data; see `store.signed`."""
    parts = {part: found for part, found in metrics.items() if isinstance(found, dict)}
    rows = {
        part: {title: round(signed(key, found[key]), 4) for key, title in TITLES.items() if key in found}
        for part, found in parts.items()
    }
    if not any(rows.values()):
        return f"no figures: the family {family!r} has no likelihood, no reconstruction and no codes"
    return pd.DataFrame.from_dict(rows, orient="index").to_string()


# Data sets


def list_data() -> None:
    rows = [
        {"name": name, "content": content, "where": _place(name) or f"not here: vaelib data fetch {name}"}
        for name, content in CONTENT.items()
    ]
    print(pd.DataFrame(rows).to_string(index=False, justify="left"))


def fetch(*names: str) -> None:
    """
    Parameters
    ----------
    names
        data sets; all that are not bundled, if none is named
    """
    for name in names or PUBLISHED:
        images = data.load(name)  # believes nothing whose SHA-256 is not the published one
        print(f"{images.name}: {len(images.images):,} images of {'x'.join(map(str, images.shape))}, verified")
        for file, digest in images.sha256.items():
            print(f"  {digest}  {file}")


def _place(name: str) -> str | None:
    """Where a data set lies; None: not on this machine, or not all of it."""
    if name not in PUBLISHED:
        return "bundled"
    files = [held(PUBLISHED[name], file) for file in PUBLISHED[name].sha256]
    return str(files[0].parent) if files[0] and all(files) else None


# Runs


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
    found = [_row(store, name) for name in store.names()]
    for name in wanted:
        if found and not any(name in settings for _, settings in found):
            raise ConfigError(unknown("setting", name, {key for _, settings in found for key in settings}))
    rows = [row for row, settings in found if not wanted or (settings and _are(settings, wanted))]
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
    settings, metrics, environment = _read(store, path)
    print(path)
    for name, value in settings.items():
        print(f"  {name:<30} {value}")
    print(metrics_table(metrics, settings["model.family"]))
    print(f"{metrics['epochs']} epochs")
    for name, value in environment.items():
        print(f"  {name:<30} {value}")


def remove(*runs: str, yes: bool = False) -> None:
    """
    Parameters
    ----------
    runs
        their names, or parts of them that no other run has
    yes
        delete them; else they are only named
    """
    if not runs:
        raise ConfigError("runs rm needs the name of a run (vaelib runs list)")
    store = Directories(runs_folder())
    names = [store.named(run).name for run in runs]
    if not yes:
        raise ConfigError(f"nothing was deleted: say --yes to delete {', '.join(names)}")
    for name in names:
        store.remove(name)
        print(f"deleted {name}")


def _read(store: Directories, path: Path) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """What a finished run's files say, but for its weights: settings by their dotted names, metrics, environment."""
    content = store.read(path)
    try:
        config, made = (json.loads(content[f"{part}.json"]) for part in ("config", "environment"))
        settings = _flat(config) | {"data.name": made["data_name"]}
        if absent := {*SHOWN} - {*settings, *made}:
            raise LookupError(f"without {', '.join(sorted(absent))}")
        return settings, metrics_in(content["metrics.json"]), made
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise BrokenRunError(f"the run in {path} is not one of this version of vaelib ({error!r})") from None


def _flat(settings: dict[str, Any]) -> dict[str, Any]:
    inner = {name: _flat(value) if isinstance(value, dict) else {"": value} for name, value in settings.items()}
    return {f"{name}.{key}".rstrip("."): value for name, part in inner.items() for key, value in part.items()}


def _are(settings: Mapping[str, Any], wanted: Mapping[str, Sequence[Any]]) -> bool:
    """Whether each setting has one of the wanted values; of a path, its last part, which the list shows, will do."""
    found = {name: settings.get(name) for name in wanted}
    return all(v in wanted[k] or (isinstance(v, str) and Path(v).name in wanted[k]) for k, v in found.items())


def _row(store: Directories, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The line of a run in the list, and the settings of a finished one."""
    path, state = store.folder / name, "unfinished"
    try:
        if path.exists():
            settings, metrics, made = _read(store, path)
            return {
                "run": name,
                "state": "finished",
                "data": Path(settings["data.name"]).name,
                "family": settings["model.family"],
                "likelihood": settings.get("model.likelihood.name", ""),
                "hidden": "+".join(map(str, settings.get("model.hidden", ()))),
                "optimiser": settings["training.optimiser"],
                "seed": settings["seed"],
                "epochs": metrics["epochs"],
                ELBO: round(-metrics["test"]["elbo"], 2) if "elbo" in metrics.get("test", {}) else None,
                "seconds": made["seconds"],
                "made": datetime.fromtimestamp((path / MANIFEST).stat().st_mtime).strftime("%Y-%m-%d %H:%M"),
            }, settings
    except BrokenRunError:
        state = "damaged"
    except StoreError:  # another version's, or one that we may not read
        state = "not readable"
    return {"run": name, "state": state}, {}
