"""Finished runs, kept by content: the same configuration on the same data is never trained twice.

A run is a directory named by a hash of its configuration and its data, with `config.json`, `history.csv`,
`metrics.json`, `model.safetensors` and `environment.json`. It is written whole or not at all.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import platformdirs
import torch
from pydantic import Field
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

import vaelib
from vaelib.config import Config
from vaelib.data import DataConfig, Prepared, prepare
from vaelib.evaluation import summary
from vaelib.models import VAE, ModelConfig
from vaelib.objectives import ObjectiveConfig, loss_function
from vaelib.training import TrainingConfig, fit

__all__ = ["Run", "RunConfig", "load", "run_directory", "store_directory", "train_or_load"]

RUNS_DIR_VARIABLE = "VAELIB_RUNS"
FORMAT = 1  # of the store; part of every run's name, so that another format never mixes with this one


class RunConfig(Config):
    """All that decides a run's result, but for the library's version and the machine."""

    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    objective: ObjectiveConfig = ObjectiveConfig()
    training: TrainingConfig = TrainingConfig()
    seed: int = Field(default=0, ge=0)


@dataclass(frozen=True)
class Run:
    """A finished run. `metrics` has the figures of `evaluation.summary` for each split, "seconds" and "epochs"."""

    config: RunConfig
    model: VAE
    history: pd.DataFrame
    metrics: dict[str, Any]
    environment: dict[str, Any]
    path: Path


class BrokenRunError(RuntimeError):
    """A run's directory cannot be read."""


def store_directory() -> Path:
    """Where runs live: the directory in VAELIB_RUNS, else the user's cache."""
    return Path(os.environ.get(RUNS_DIR_VARIABLE) or platformdirs.user_cache_path("vaelib") / "runs")


def run_directory(config: RunConfig, prepared: Prepared | None = None) -> Path:
    """Where the run of `config` is or will be: named by the hash of the configuration and of the data's content."""
    prepared = prepared or prepare(config.data)
    identity: dict[str, Any] = {
        "format": FORMAT,
        "config": config.model_dump(mode="json"),
        "data": dict(prepared.data.sha256),
    }
    if Path(config.data.name).exists():  # the reader's own images: their content counts, not where they lie
        identity["config"]["data"]["name"] = prepared.data.name
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
    return store_directory() / f"{prepared.data.name}-z{config.model.latent_dim}-{digest}"


def train_or_load(config: RunConfig, *, progress: bool | None = None) -> Run:
    """The finished run of `config`: loaded if it is in the store, else trained and put there.

    Raises:
        ConfigError, DataError: for settings or data that cannot be used.
        NonFiniteLossError: when training diverged; nothing is stored then.
        BrokenRunError: when the stored run cannot be read.
    """
    prepared = prepare(config.data)
    path = run_directory(config, prepared)
    if not path.exists():
        _train(config, prepared, path, progress)
    return load(path)


def load(path: Path) -> Run:
    """The run in the directory `path`.

    Raises:
        BrokenRunError: names the file that is missing or unreadable.
    """
    try:
        config = RunConfig(**json.loads((path / "config.json").read_text()))
        environment = json.loads((path / "environment.json").read_text())
        model = _new_model(config, tuple(environment["image_shape"]))
        model.load_state_dict(load_file(path / "model.safetensors"))
        history = pd.read_csv(path / "history.csv")
        metrics = json.loads((path / "metrics.json").read_text())
    except (OSError, ValueError, KeyError, SafetensorError, RuntimeError) as error:
        raise BrokenRunError(
            f"the run in {path} cannot be read ({error}): delete the directory to train it anew"
        ) from None
    return Run(config, model.eval(), history, metrics, environment, path)


def _train(config: RunConfig, prepared: Prepared, path: Path, progress: bool | None) -> None:
    splits = {
        name: torch.from_numpy(x) for name in ("train", "validation", "test") if len(x := getattr(prepared, name))
    }
    model = _new_model(config, prepared.data.shape)
    for x in splits.values():
        model.likelihood.check(x)
    loss = loss_function(model, config.objective, binarise=config.data.pixels == "dynamic")
    train = splits["train"]
    held_out = {name: x for name, x in splits.items() if name != "train"}
    history = fit(model, loss, train, config.training, seed=config.seed, held_out=held_out, progress=progress)
    model.cpu()
    metrics: dict[str, Any] = {name: summary(model, x) for name, x in splits.items()}
    metrics |= {"epochs": len(history), "seconds": float(history["seconds"].iloc[-1])}
    _write(path, config, model, history, metrics, _environment(prepared))


def _new_model(config: RunConfig, image_shape: tuple[int, ...]) -> VAE:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)  # torch draws initial weights from its global generator only
        return VAE(config.model, image_shape)


def _environment(prepared: Prepared) -> dict[str, Any]:
    return {
        "vaelib": vaelib.__version__,
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "threads": torch.get_num_threads(),
        "image_shape": list(prepared.data.shape),
        "data": dict(prepared.data.sha256),
    }


def _write(
    path: Path,
    config: RunConfig,
    model: VAE,
    history: pd.DataFrame,
    metrics: dict[str, Any],
    environment: dict[str, Any],
) -> None:
    """Fills a directory beside `path` and renames it, so that `path` exists only when it is complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=path.parent))
    try:
        for name, content in {
            "config": config.model_dump(mode="json"),
            "metrics": metrics,
            "environment": environment,
        }.items():
            (draft / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n")
        history.to_csv(draft / "history.csv", index=False)
        save_file({key: value.contiguous() for key, value in model.state_dict().items()}, draft / "model.safetensors")
        draft.chmod(0o755)
        try:
            draft.rename(path)
        except OSError:
            if not path.exists():  # else another process finished the same run first: its result serves as well
                raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)
