"""This library: `training.fit`, called as a run of a chapter calls it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.clock import Clock
from bench.works import Work
from vaelib.checkpoints import Checkpoint
from vaelib.likelihoods import LikelihoodConfig
from vaelib.models import VAE, ModelConfig
from vaelib.objectives import ObjectiveConfig, loss_function
from vaelib.training import TrainingConfig, fit

__all__ = ["model_config", "train", "training_config"]


def model_config(work: Work) -> ModelConfig:
    likelihood = LikelihoodConfig(name=work.likelihood, sigma="shared")
    return ModelConfig(
        latent_dim=work.latent_dim, hidden=work.hidden, activation=work.activation, likelihood=likelihood
    )


def training_config(work: Work) -> TrainingConfig:
    return TrainingConfig(
        optimiser=work.optimiser,
        learning_rate=work.learning_rate,
        schedule=work.schedule,
        batch_size=work.batch_size,
        epochs=work.epochs,
        device="cpu",
    )


def train(work: Work, x: Tensor, clock: Clock) -> None:
    """Asks for the whole run, as its length may decide how it is trained, and leaves when the clock has enough."""
    torch.manual_seed(0)
    model = VAE(model_config(work), (work.pixels,))
    loss = loss_function(model, ObjectiveConfig())
    fit(model, loss, x, training_config(work), checkpoint=_Laps(clock), progress=False)


class _Laps(Checkpoint):
    """Never saves; but `fit` asks it after each epoch whether to, and that is when the clock looks."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(Path("never-written"))
        self.clock = clock

    def load(self) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
        return None

    def due(self) -> bool:
        self.clock.lap()
        return False
