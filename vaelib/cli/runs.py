"""``vaelib runs``: the store's list, one run, deleting."""

from __future__ import annotations

import json
import shutil
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

from vaelib import store
from vaelib.cli.text import table
from vaelib.cli.train import figures
from vaelib.config import ConfigError, unknown
from vaelib.grid import flat
from vaelib.runs import BrokenRunError, load, store_directory
from vaelib.tables import COLUMNS

CHECKPOINT = ".{}.checkpoint"


def list_runs() -> None:
    folder = store_directory()
    rows = [_row(path) for path in _paths()]
    if not rows:
        print(f"no runs in {folder}")
        return
    print(table(rows))
    print(f"{len(rows)} in {folder}")


def show(run: str) -> None:
    """
    Parameters
    ----------
    run
        its name, a part of it that no other run has, or its folder
    """
    found = load(find(run))
    print(found.path)
    for name, value in flat(found.config).items():
        print(f"  {name:<30} {value}")
    print(figures(found).to_string())
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
    paths = [_in_store(run) for run in runs]
    if not yes and not _agreed(paths):
        raise ConfigError("nothing was deleted: say --yes")
    for path in paths:
        with store.exclusive(path, wait=False):
            if path.exists():
                shutil.rmtree(path)
            path.with_name(CHECKPOINT.format(path.name)).unlink(missing_ok=True)
        print(f"deleted {path.name}")


def _in_store(name: str) -> Path:
    """The run with that name, or the only one whose name has `name` in it, among the store's own entries.

    Nothing else is ever deleted: no path, however it is written, and nothing that only looks like a run.

    Raises:
        ConfigError: the name is empty, is a path, is that of a link, or is that of no run or of several.
    """
    if not name.strip() or name in (".", "..") or Path(name).name != name or "/" in name or "\\" in name:
        raise ConfigError(f"{name!r} is not the name of a run: only runs in {store_directory()} are deleted, by name")
    path = _named(name)
    if path.is_symlink():
        raise ConfigError(f"{path.name} is a link to another folder: delete it there")
    return path


def find(name: str) -> Path:
    """The folder of the run with that name, that folder, or the only run whose name has `name` in it.

    Raises:
        ConfigError: there is none, or more than one.
    """
    if (Path(name) / store.MANIFEST).exists():
        return Path(name).absolute()
    return _named(name)


def _named(name: str) -> Path:
    paths = {path.name: path for path in _paths()}
    if name in paths:
        return paths[name]
    found = [full for full in paths if name and name in full]
    if len(found) > 1:
        raise ConfigError(f"{len(found)} runs have {name!r} in their name: {', '.join(found[:5])}")
    if not found:
        near = unknown("run", name, paths).split("; valid:")[0].split(" valid:")[0]
        raise ConfigError(f"{near.rstrip(':')} (vaelib runs list shows all in {store_directory()})")
    return paths[found[0]]


def _paths() -> list[Path]:
    """The runs in the store, finished or not, whole or damaged."""
    folder = store_directory()
    if not folder.is_dir():
        return []
    finished = {path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")}
    begun = {path.name[1:].removesuffix(".checkpoint") for path in folder.glob(CHECKPOINT.format("*"))}
    return [folder / name for name in sorted(finished | begun)]


def _row(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {"run": path.name, "state": "unfinished"}
    try:
        files = store.read(path)
        config, metrics, made = (json.loads(files[f"{name}.json"]) for name in ("config", "metrics", "environment"))
        return {
            "run": path.name,
            "state": "finished",
            "data": Path(config["data"]["name"]).name,
            "likelihood": config["model"]["likelihood"]["name"],
            "hidden": "+".join(map(str, config["model"]["hidden"])),
            "optimiser": config["training"]["optimiser"],
            "seed": config["seed"],
            "epochs": metrics["epochs"],
            COLUMNS["elbo"] + ", test": round(-metrics["test"]["elbo"], 2),
            "minutes": round(made["seconds"] / 60, 1),
            "made": datetime.fromtimestamp((path / store.MANIFEST).stat().st_mtime).strftime("%Y-%m-%d %H:%M"),
        }
    except (BrokenRunError, ValueError, KeyError, TypeError):
        return {"run": path.name, "state": "damaged"}


def _agreed(paths: list[Path]) -> bool:
    if not sys.stdin.isatty():
        return False
    print("\n".join(str(path) for path in paths))
    return input(f"Delete {len(paths)}? [y/N] ").strip().lower() in ("y", "yes")
