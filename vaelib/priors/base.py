"""What every prior offers, and the Gaussian q(z|x) that it is compared with.

Kingma & Welling 2013 is cited as K&W 2013.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

__all__ = ["Prior", "gaussian_kl", "gaussian_log_prob", "reparameterise"]


def reparameterise(mean: Tensor, log_var: Tensor, samples: int = 1, generator: torch.Generator | None = None) -> Tensor:
    """z = mean + sigma * epsilon, epsilon ~ N(0, I): (B, Z), (B, Z) -> (samples, B, Z). K&W 2013, section 2.4."""
    shape = (samples, *mean.shape)
    epsilon = torch.randn(shape, generator=generator, dtype=mean.dtype, device=mean.device)
    return mean + torch.exp(0.5 * log_var) * epsilon


def gaussian_kl(mean: Tensor, log_var: Tensor) -> Tensor:
    """KL(N(mean, e^log_var) || N(0, 1)) per dimension, nats: (B, Z), (B, Z) -> (B, Z). K&W 2013, appendix B."""
    return 0.5 * (mean.square() + log_var.exp() - 1 - log_var)


def gaussian_log_prob(z: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    """log N(z; mean, diag e^log_var), summed over the last dimension, nats: (..., Z) -> (...)."""
    return -0.5 * ((z - mean).square() * torch.exp(-log_var) + log_var + math.log(2 * math.pi)).sum(-1)


class Prior(nn.Module, ABC):
    """What every prior offers. Z is the latent dimension."""

    latent_dim: int

    @abstractmethod
    def log_prob(self, z: Tensor) -> Tensor:
        """log p(z) in nats: (..., Z) -> (...)."""

    @abstractmethod
    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """n draws from p(z): (n, Z)."""

    def kl(self, mean: Tensor, log_var: Tensor) -> Tensor | None:
        """KL(N(mean, e^log_var) || p(z)) per dimension in nats, (..., Z), or None if there is no closed form."""
        return None
