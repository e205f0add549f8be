"""q(z|x): what a latent vector may be once an image is seen. Kingma & Welling 2013 is cited as K&W 2013."""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor

__all__ = ["DiagonalGaussian", "Posterior", "gaussian_kl", "gaussian_log_prob", "reparameterise"]


def reparameterise(mean: Tensor, log_var: Tensor, samples: int = 1, generator: torch.Generator | None = None) -> Tensor:
    """z = mean + sigma * epsilon, epsilon ~ N(0, I): (B, Z), (B, Z) -> (samples, B, Z). K&W 2013, section 2.4."""
    shape = (samples, *mean.shape)
    epsilon = torch.randn(shape, generator=generator, dtype=mean.dtype, device=mean.device)
    return mean + torch.exp(0.5 * log_var) * epsilon


def gaussian_kl(mean: Tensor, log_var: Tensor) -> Tensor:
    """KL(N(mean, e^log_var) || N(0, 1)) per dimension, nats: (B, Z), (B, Z) -> (B, Z). K&W 2013, appendix B.

    Near 0 it may be negative by the rounding of float32, 1e-7 or less.
    """
    return 0.5 * (mean.square() + log_var.exp() - 1 - log_var)


def gaussian_log_prob(z: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    """log N(z; mean, diag e^log_var), summed over the last dimension, nats: (..., Z) -> (...)."""
    return -0.5 * ((z - mean).square() * torch.exp(-log_var) + log_var + math.log(2 * math.pi)).sum(-1)


class HasKL(Protocol):
    """A prior, as far as it is needed here."""

    def kl(self, mean: Tensor, log_var: Tensor) -> Tensor | None: ...


class Posterior(Protocol):
    """What the q(z|x) of a batch of B images offers, whatever its family."""

    def sample(self, samples: int = 1, generator: torch.Generator | None = None) -> Tensor:
        """Draws that gradients pass through: (samples, B, Z)."""

    def log_prob(self, z: Tensor) -> Tensor:
        """log q(z|x), nats: (samples, B, Z) -> (samples, B)."""

    def kl(self, prior: HasKL) -> Tensor | None:
        """KL(q(z|x) || p(z)) per dimension, nats, (B, Z), or None if it has no closed form."""


class DiagonalGaussian:
    """q(z|x) = N(mean, diag e^log_var), both (B, Z): the posterior of K&W 2013, equation 9."""

    def __init__(self, mean: Tensor, log_var: Tensor) -> None:
        self.mean, self.log_var = mean, log_var

    def sample(self, samples: int = 1, generator: torch.Generator | None = None) -> Tensor:
        return reparameterise(self.mean, self.log_var, samples, generator)

    def log_prob(self, z: Tensor) -> Tensor:
        return gaussian_log_prob(z, self.mean, self.log_var)

    def kl(self, prior: HasKL) -> Tensor | None:
        return prior.kl(self.mean, self.log_var)

    def detach(self) -> DiagonalGaussian:
        """The same, which no gradient passes."""
        return DiagonalGaussian(self.mean.detach(), self.log_var.detach())
