"""What the networks of all families are made of."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["ACTIVATIONS", "BatchNorm", "binarised", "mlp"]

ACTIVATIONS = {"tanh": nn.Tanh, "relu": nn.ReLU, "silu": nn.SiLU, "identity": nn.Identity}


class BatchNorm(nn.BatchNorm1d):
    """Batch normalisation of each unit over all leading dimensions: (..., H) -> (..., H). Ioffe & Szegedy 2015.

    A single row has no spread of its own: in training, too, it is normalised by the averages so far.
    """

    def forward(self, x: Tensor) -> Tensor:
        rows = x.reshape(-1, x.shape[-1])
        if len(rows) > 1:
            return super().forward(rows).reshape(x.shape)
        return F.batch_norm(rows, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps).view_as(x)


def mlp(inputs: int, hidden: Sequence[int], activation: str, *, batch_norm: bool = False) -> tuple[nn.Sequential, int]:
    """Linear layers with an activation behind each, and the width that comes out.

    With `batch_norm` what a linear layer gives is normalised before it is bent.
    """
    layers: list[nn.Module] = []
    for a, b in pairwise((inputs, *hidden)):
        layers += [nn.Linear(a, b), *([BatchNorm(b)] if batch_norm else []), ACTIVATIONS[activation]()]
    return nn.Sequential(*layers), (inputs, *hidden)[-1]


def binarised(x: Tensor, generator: torch.Generator | None) -> Tensor:
    """Binary pixels, each 1 with the probability that its grey value is."""
    noise = torch.rand(x.shape, generator=generator, dtype=x.dtype, device=x.device)
    return (noise < x).to(x.dtype)  # as torch.bernoulli, in a third of the time
