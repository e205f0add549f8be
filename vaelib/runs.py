"""Trainings as files: a run is made once, lies in a store under a name that its settings give it, and is read back."""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import platform
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import safetensors.torch
import torch
from pydantic import Field, SerializeAsAny, model_validator
from torch import Tensor

import vaelib
from vaelib.config import Config, ConfigError, flat
from vaelib.data import NAMES, DataConfig, DataError, Prepared, binarise, identity, prepare
from vaelib.evaluation import summary
from vaelib.models import LatentVariableModel, ModelConfig, ObjectiveConfig, VAEConfig, new_model
from vaelib.models.base import Objective, family_of
from vaelib.progress import log, metrics_in
from vaelib.store import FORMAT, MANIFEST, BrokenRunError, Checkpoint, Directories, StoreError, runs_folder
from vaelib.training import NonFiniteLossError, TrainingConfig, fit

__all__ = ["Run", "RunConfig", "Store", "data_of", "train"]

NO_WORD = re.compile(r"[^\w+-]+")
BINARISATIONS = 5  # draws of dynamically binarised pixels that a run's figures are means over


class RunConfig(Config):
    """All that decides a run's result, but for the versions of libraries and the machine.

    `model` holds the settings of one family, `objective` those of that family's objective.
    """

    data: DataConfig = DataConfig()
    model: SerializeAsAny[ModelConfig] = VAEConfig()
    objective: SerializeAsAny[Objective] = ObjectiveConfig()
    training: TrainingConfig = TrainingConfig()
    seed: int = Field(default=0, ge=0, lt=2**63)

    @model_validator(mode="before")
    @classmethod
    def _of_one_family(cls, settings: dict[str, Any]) -> dict[str, Any]:
        model, objective = settings.get("model", cls.model_fields["model"].default), settings.get("objective", {})
        family = family_of(model)
        if isinstance(objective, Objective) and type(objective) is not family.Objective:
            if objective != type(objective)():
                raise ConfigError(f"{objective!r} is no objective of the family {family.family!r}")
            objective = {}
        return {
            **settings,
            "model": model if isinstance(model, ModelConfig) else family.Settings(**model),
            "objective": objective if isinstance(objective, Objective) else family.Objective(**objective),
        }

    @model_validator(mode="after")
    def _check(self) -> RunConfig:
        if self.training.patience and math.isinf(self.objective.settled_epochs):
            raise ConfigError(
                f"training.patience={self.training.patience} waits for the best loss, but a loss of the family "
                f"{self.model.family!r} says nothing of how good the model is: leave patience alone"
            )
        return self

    def resolved(self) -> dict[str, Any]:
        """All settings as JSON has them, but for the name that the data go by."""
        settings = self.model_dump(mode="json")
        del settings["data"]["name"]
        return settings


@dataclass(frozen=True)
class Run:
    """A finished run. `metrics` has the figures of `evaluation.summary` for each split, and the number of "epochs".

    `environment` says with what it was made: versions, threads, the data's hashes, and the "seconds" that it took.
    """

    config: Any
    model: Any
    history: pd.DataFrame
    metrics: dict[str, Any]
    environment: dict[str, Any]
    path: Path


def train(
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
        StoreError: when the store cannot be read or written.
    """
    store = Store()
    path = store.path(config)
    checkpoint = store.checkpoint(path, checkpoint_seconds)
    if not store.holds(path):
        with store.exclusive(path, wait):
            if not store.holds(path, set_aside=True):  # nor has another process finished it meanwhile
                prepared = prepare(config.data)
                parts = parts_of(config, prepared)
                model = new_model(config.model, prepared.data.shape, config.seed)
                model.start(parts["train"])
                history = fit(
                    model,
                    model.losses(config.objective, binarise=config.data.pixels == "dynamic"),
                    parts["train"],
                    config.training,
                    seed=config.seed,
                    held_out={name: x for name, x in parts.items() if name != "train"},
                    settled=config.objective.settled_epochs,
                    checkpoint=checkpoint,
                    progress=progress,
                )
                store.write(path, files_of(config, prepared, model.cpu(), history, parts))
                if progress is not False:
                    log(f"trained {path.name} in {history.attrs['seconds']:.0f} s")
    checkpoint.clear()  # also that of a process which was killed when it had just written the run
    return store.load(path, config)


def data_of(run: Run) -> Prepared:
    """The data that a run learned from, read again and verified.

    Raises:
        DataError: they are not where they were, or no longer the same.
    """
    name = run.config.data.name
    try:
        prepared = prepare(run.config.data)
    except (ConfigError, DataError) as error:
        raise DataError(f"the data of {run.path.name} cannot be read again: {error}") from None
    if dict(prepared.data.sha256) != run.environment["data"]:
        raise DataError(f"the data set {name!r} is not the one that {run.path.name} was trained on: it was replaced")
    return prepared


class Store(Directories):
    """The runs in a folder: that in VAELIB_RUNS, else one in the user's cache."""

    def __init__(self, folder: str | os.PathLike[str] | None = None) -> None:
        super().__init__(Path(folder).expanduser() if folder else runs_folder())
        self._identities: dict[tuple[str, str | None, str], tuple[str, dict[str, str]]] = {}

    def identity(self, data: DataConfig) -> tuple[str, dict[str, str]]:
        """Title and hashes of a data set, read once for each store that is asked, however many runs it names."""
        key = (data.name, data.size, data.colour)
        if key not in self._identities:
            self._identities[key] = identity(*key)
        return self._identities[key]

    def path(self, config: RunConfig) -> Path:
        """Where the run of `config` is or will be: named by a hash of its settings, its family's version and its data.

        Raises:
            ConfigError, DataError: there are no such data.
        """
        title, hashes = self.identity(config.data)
        family = family_of(config.model)
        parts = {"format": FORMAT, "family": [family.family, family.version], "data": hashes}
        text = json.dumps({**parts, "config": config.resolved()}, sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()[:16]
        latents = getattr(config.model, "latent_dim", None)
        kind = f"z{latents}" if family.family == "vae" else family.family
        return self.folder / f"{NO_WORD.sub('_', title)[:60].strip('_') or 'data'}-{kind}-{digest}"

    def load(self, run: str | os.PathLike[str], wanted: RunConfig | None = None) -> Run:
        """The run with that name, or in that directory; with `wanted`, only if it was made with these settings.

        Raises:
            BrokenRunError: names the file that is missing or damaged. StoreError: it cannot be read, another version
                wrote it, or its settings are others than those wanted.
        """
        path = Path(run) if isinstance(run, Path) or Path(run, MANIFEST).exists() else self.find(str(run))
        files = self.read(path)
        try:
            environment = json.loads(files["environment.json"])
            config = RunConfig(**json.loads(files["config.json"]))
            model = new_model(config.model, environment["image_shape"])
            model.load_state_dict(safetensors.torch.load(files["model.safetensors"]))
            history = pd.read_csv(io.BytesIO(files["history.csv"]))
            metrics = metrics_in(files["metrics.json"])
            config = config.replace(data=config.data.replace(name=environment["data_name"]))
        except (ValueError, TypeError, LookupError, RuntimeError, safetensors.SafetensorError) as error:
            why = " ".join(str(error).split())
            raise BrokenRunError(f"the run in {path} does not fit this version of vaelib ({why})") from None
        if wanted:
            here = flat(wanted) | {"data": self.identity(wanted.data)[1]}
            _must_be(here, flat(config) | {"data": environment["data"]}, path)
            config = wanted
        return Run(config, model.eval(), history, metrics, environment, path)

    def checkpoint(self, path: Path, seconds: float = 30.0) -> Checkpoint:
        """Where the training of the run at `path` keeps its state."""
        return Checkpoint(self.begun(path), seconds, {"vaelib": vaelib.__version__})


def _must_be(wanted: Mapping[str, Any], stored: Mapping[str, Any], path: Path) -> None:
    """Refuses a run that lies under a name which is not its own."""
    other = [name for name in {**wanted, **stored} if name != "data.name" and wanted.get(name) != stored.get(name)]
    if other:
        found = ", ".join(f"{name}={stored.get(name)!r} (asked for: {wanted.get(name)!r})" for name in other)
        raise StoreError(f"the run in {path} was made with {found}: somebody put it under this name; move it away")


def parts_of(config: RunConfig, prepared: Prepared) -> dict[str, Tensor]:
    """The images of each part of the split that is not empty, (n, D)."""
    parts = {name: getattr(prepared, name) for name in ("train", "validation", "test")}
    if config.training.patience and not len(prepared.validation):
        raise ConfigError(
            f"training.patience={config.training.patience} needs validation images to watch, and this split of "
            f"{prepared.data.name} has none: choose another split, or leave patience alone"
        )
    return {name: torch.from_numpy(x) for name, x in parts.items() if len(x)}


def files_of(
    config: RunConfig,
    prepared: Prepared,
    model: LatentVariableModel,
    history: pd.DataFrame,
    parts: Mapping[str, Tensor],
    made: Mapping[str, Any] | None = None,
) -> dict[str, bytes]:
    """What a finished run consists of; `made` says more of how it was made."""
    dynamic = config.data.pixels == "dynamic"
    metrics: dict[str, Any] = {name: _figures(model, x, dynamic) for name, x in parts.items()}
    for part, figures in metrics.items():
        for name, value in figures.items():
            if not math.isfinite(value):
                raise NonFiniteLossError(f"the finished model's {name} on {part} images is {value}", model, history)
    name = config.data.name
    environment = {
        "vaelib": vaelib.__version__,
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": sys.version.split()[0],
        "platform": platform.platform(),
        "threads": torch.get_num_threads(),
        "image_shape": list(prepared.data.shape),
        "data": dict(prepared.data.sha256),
        "data_name": name if name in NAMES else str(Path(name).expanduser().resolve()),
        "seconds": round(history.attrs["seconds"], 3),
        **(made or {}),
    }
    return {
        "config.json": _json(config.model_dump(mode="json")),
        "history.csv": history.to_csv(index=False).encode(),
        "metrics.json": _json(metrics | {"epochs": len(history)}),
        "model.safetensors": safetensors.torch.save({k: v.contiguous() for k, v in model.state_dict().items()}),
        "environment.json": _json(environment),
    }


def _figures(model: LatentVariableModel, x: Tensor, dynamic: bool) -> dict[str, float]:
    """The `summary`; of pixels that training binarises anew, its mean over a few seeded binarisations."""
    if not dynamic:
        return summary(model, x)
    drawn = [summary(model, torch.from_numpy(binarise(x.numpy(), seed))) for seed in range(BINARISATIONS)]
    return {name: float(np.mean([figures[name] for figures in drawn])) for name in drawn[0]}


def _json(content: Any) -> bytes:
    return (json.dumps(content, indent=2) + "\n").encode()
