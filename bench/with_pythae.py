"""pythae (Chadebec et al. 2022) with its own trainer, on the same network."""

from __future__ import annotations

import io
import logging
import tempfile
from contextlib import redirect_stderr
from typing import Any

import torch
from pythae.data.datasets import BaseDataset
from pythae.models import VAE, VAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from pythae.trainers import BaseTrainer, BaseTrainerConfig
from pythae.trainers.training_callbacks import TrainingCallback
from torch import Tensor

from bench.clock import Clock
from bench.networks import Decoder, Encoder
from bench.works import Work

__all__ = ["train"]


def train(work: Work, x: Tensor, clock: Clock) -> None:
    """Trains until the clock has enough. pythae has no Gaussian of learned width: "mse" is its nearest loss."""
    loss = "bce" if work.likelihood == "bernoulli" else "mse"
    config = VAEConfig(input_dim=(work.pixels,), latent_dim=work.latent_dim, reconstruction_loss=loss)
    model = VAE(config, encoder=_Encoder(work), decoder=_Decoder(work))
    logging.disable(logging.INFO)
    with tempfile.TemporaryDirectory() as folder, redirect_stderr(io.StringIO()):
        settings = BaseTrainerConfig(
            output_dir=folder,
            per_device_train_batch_size=work.batch_size,
            num_epochs=work.epochs,
            optimizer_cls=work.optimiser.capitalize(),
            learning_rate=work.learning_rate,
            no_cuda=True,
        )
        data = BaseDataset(x, torch.zeros(len(x)))
        BaseTrainer(model, data, training_config=settings, callbacks=[_Laps(clock)]).train()


class _Encoder(BaseEncoder):
    def __init__(self, work: Work) -> None:
        super().__init__()
        self.layers = Encoder(work)

    def forward(self, x: Tensor) -> ModelOutput:
        mean, log_var = self.layers(x)
        return ModelOutput(embedding=mean, log_covariance=log_var)


class _Decoder(BaseDecoder):
    def __init__(self, work: Work) -> None:
        super().__init__()
        self.layers = Decoder(work)

    def forward(self, z: Tensor) -> ModelOutput:
        return ModelOutput(reconstruction=torch.sigmoid(self.layers(z)))


class _Laps(TrainingCallback):
    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def on_epoch_end(self, *args: Any, **kwargs: Any) -> None:
        self.clock.lap()
