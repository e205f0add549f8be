"""Finished runs, kept by content: the same configuration on the same data is never trained twice.

A run is a directory named by a hash of its configuration and its data, with `config.json`, `history.csv`,
`metrics.json`, `model.safetensors`, `environment.json` and a manifest of their checksums.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import platform
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import platformdirs
import safetensors.torch
import torch
from pydantic import Field

import vaelib
from vaelib import store
from vaelib.checkpoints import Checkpoint
from vaelib.config import Config
from vaelib.data import DataConfig, Prepared, prepare
from vaelib.evaluation import summary
from vaelib.models import VAE, ModelConfig
from vaelib.objectives import ObjectiveConfig, loss_function
from vaelib.store import BrokenRunError, BusyError, StoreError
from vaelib.training import TrainingConfig, fit

__all__ = [
    "BrokenRunError",
    "BusyError",
    "Run",
    "RunConfig",
    "StoreError",
    "load",
    "run_directory",
    "store_directory",
    "train_or_load",
]

RUNS_DIR_VARIABLE = "VAELIB_RUNS"


class RunConfig(Config):
    """All that decides a run's result, but for the library's version and the machine."""

    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    objective: ObjectiveConfig = ObjectiveConfig()
    training: TrainingConfig = TrainingConfig()
    seed: int = Field(default=0, ge=0)


@dataclass(frozen=True)
class Run:
    """A finished run. `metrics` has the figures of `evaluation.summary` for each split, and the number of "epochs".

    `environment` says with what it was made: versions, threads, the data's hashes, and the "seconds" that it took.
    """

    config: RunConfig
    model: VAE
    history: pd.DataFrame
    metrics: dict[str, Any]
    environment: dict[str, Any]
    path: Path


def store_directory() -> Path:
    """Where runs live: the directory in VAELIB_RUNS, else the user's cache."""
    return Path(os.environ.get(RUNS_DIR_VARIABLE) or platformdirs.user_cache_path("vaelib") / "runs")


def run_directory(config: RunConfig, prepared: Prepared | None = None) -> Path:
    """Where the run of `config` is or will be: named by a hash of the data's content and of what differs from defaults.

    So a setting that a later version adds gives no run another name.
    """
    prepared = prepared or prepare(config.data)
    settings = config.model_dump(mode="json", exclude_defaults=True, exclude={"data": {"name"}})
    identity = {"format": store.FORMAT, "config": settings, "data": dict(prepared.data.sha256)}
    digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
    return store_directory() / f"{prepared.data.name}-z{config.model.latent_dim}-{digest}"


def train_or_load(
    config: RunConfig, *, progress: bool | None = None, checkpoint_seconds: float = 30.0, wait: bool = True
) -> Run:
    """The finished run of `config`: loaded if it is in the store, else trained and put there.

    Processes that ask for the same run at once train it once. A training that was killed goes on from its last
    checkpoint, one every `checkpoint_seconds`, and ends with the same bits. A damaged run is set aside, with a warning,
    and made anew.

    Raises:
        BusyError: another process is training it, with `wait` False.
        ConfigError, DataError: for settings or data that cannot be used.
        NonFiniteLossError: when training diverged; nothing is stored then.
        StoreError: when the store cannot be written to.
    """
    prepared = prepare(config.data)
    path = run_directory(config, prepared)
    checkpoint = Checkpoint(path.with_name(f".{path.name}.checkpoint"), checkpoint_seconds)

    run = store.once(path, load, lambda: store.write(path, _train(config, prepared, checkpoint, progress)), wait)
    checkpoint.clear()  # also that of a process which was killed when it had just written the run
    return run


def load(path: Path) -> Run:
    """The run in the directory `path`.

    Raises:
        BrokenRunError: names the file that is missing or damaged, or the format that this version cannot read.
    """
    files = store.read(path)
    try:
        config = RunConfig(**json.loads(files["config.json"]))
        environment = json.loads(files["environment.json"])
        model = _new_model(config, tuple(environment["image_shape"]))
        model.load_state_dict(safetensors.torch.load(files["model.safetensors"]))
        history = pd.read_csv(io.BytesIO(files["history.csv"]))
        metrics = json.loads(files["metrics.json"])
    except (ValueError, KeyError, RuntimeError) as error:
        raise BrokenRunError(f"the run in {path} does not fit this version of vaelib ({error})") from None
    return Run(config, model.eval(), history, metrics, environment, path)


def _train(config: RunConfig, prepared: Prepared, checkpoint: Checkpoint, progress: bool | None) -> dict[str, bytes]:
    """Trains, judges, and returns the files of a finished run."""
    parts = {name: getattr(prepared, name) for name in ("train", "validation", "test")}
    splits = {name: torch.from_numpy(x) for name, x in parts.items() if len(x)}
    held_out = {name: x for name, x in splits.items() if name != "train"}
    model = _new_model(config, prepared.data.shape)
    if config.model.output_bias == "average":
        model.start_at(splits["train"].mean(0))
    for x in splits.values():
        model.likelihood.check(x)
    loss = loss_function(model, config.objective, binarise=config.data.pixels == "dynamic")
    history = fit(
        model,
        loss,
        splits["train"],
        config.training,
        seed=config.seed,
        held_out=held_out,
        settled=math.ceil(config.objective.warmup_epochs),
        checkpoint=checkpoint,
        progress=progress,
    )
    model.cpu()
    metrics = {name: summary(model, x) for name, x in splits.items()} | {"epochs": len(history)}
    environment = _environment(prepared) | {"seconds": round(history.attrs["seconds"], 3)}
    return {
        "config.json": _json(config.model_dump(mode="json")),
        "history.csv": history.to_csv(index=False).encode(),
        "metrics.json": _json(metrics),
        "model.safetensors": safetensors.torch.save({k: v.contiguous() for k, v in model.state_dict().items()}),
        "environment.json": _json(environment),
    }


def _json(content: Any) -> bytes:
    return (json.dumps(content, indent=2) + "\n").encode()


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
