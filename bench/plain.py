"""The loop that most people would write: all images in memory, torch's default settings."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bench.clock import Clock
from bench.networks import Decoder, Encoder
from bench.works import Work

__all__ = ["PlainVAE", "train"]

OPTIMISERS = {"adam": torch.optim.Adam, "adagrad": torch.optim.Adagrad}


class PlainVAE(nn.Module):
    """x (B, D) -> the negative ELBO, summed over the batch, ()."""

    def __init__(self, work: Work) -> None:
        super().__init__()
        self.encoder, self.decoder = Encoder(work), Decoder(work)
        self.log_variance = nn.Parameter(torch.zeros(())) if work.likelihood == "gaussian" else None

    def forward(self, x: Tensor) -> Tensor:
        mean, log_var = self.encoder(x)
        z = mean + torch.exp(0.5 * log_var) * torch.randn_like(mean)
        kl = -0.5 * torch.sum(1 + log_var - mean.pow(2) - log_var.exp())
        return kl + self.distortion(x, self.decoder(z))

    def distortion(self, x: Tensor, logits: Tensor) -> Tensor:
        """-log p(x|z), summed."""
        if self.log_variance is None:
            return F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
        error = F.mse_loss(torch.sigmoid(logits), x, reduction="sum")
        constant = x.numel() * (self.log_variance + math.log(2 * math.pi))
        return 0.5 * (error * torch.exp(-self.log_variance) + constant)


def train(work: Work, x: Tensor, clock: Clock) -> None:
    """Trains until the clock has enough."""
    model = PlainVAE(work)
    optimiser = OPTIMISERS[work.optimiser](model.parameters(), lr=work.learning_rate)
    for _ in range(work.epochs):
        total = 0.0
        for indices in torch.randperm(len(x)).split(work.batch_size):
            batch = x[indices]
            loss = model(batch) / len(batch)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            total += loss.item() * len(batch)
        clock.lap()
