"""This library: `training.fit`, called as a run of a chapter calls it."""

from __future__ import annotations

import torch
from torch import Tensor

from bench.clock import Clock
from bench.works import Work
from vaelib.likelihoods import LikelihoodConfig
from vaelib.models import VAE, ObjectiveConfig, VAEConfig
from vaelib.training import TrainingConfig, fit

__all__ = ["model_config", "train", "training_config"]


def model_config(work: Work) -> VAEConfig:
    likelihood = LikelihoodConfig(name=work.likelihood, sigma="shared")
    return VAEConfig(latent_dim=work.latent_dim, hidden=work.hidden, activation=work.activation, likelihood=likelihood)


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
    losses = model.losses(ObjectiveConfig())
    fit(model, losses, x, training_config(work), progress=False, on_epoch=lambda row: clock.lap())
