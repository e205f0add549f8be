"""What the networks of all families are made of."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

__all__ = ["ACTIVATIONS", "binarised", "mlp"]

ACTIVATIONS = {"tanh": nn.Tanh, "relu": nn.ReLU, "silu": nn.SiLU, "identity": nn.Identity}


def mlp(inputs: int, hidden: Sequence[int], activation: str) -> tuple[nn.Sequential, int]:
    """Linear layers with an activation behind each, and the width that comes out."""
    widths = (inputs, *hidden)
    layers = [layer for a, b in pairwise(widths) for layer in (nn.Linear(a, b), ACTIVATIONS[activation]())]
    return nn.Sequential(*layers), widths[-1]


def binarised(x: Tensor, generator: torch.Generator | None) -> Tensor:
    """Binary pixels, each 1 with the probability that its grey value is."""
    noise = torch.rand(x.shape, generator=generator, dtype=x.dtype, device=x.device)
    return (noise < x).to(x.dtype)  # as torch.bernoulli, in a third of the time
