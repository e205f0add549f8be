"""The prior of the first VAEs, and the same one sampled more or less widely."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from vaelib.config import ConfigError
from vaelib.priors.base import Prior, gaussian_kl, gaussian_log_prob

__all__ = ["StandardNormal", "Tempered"]


class StandardNormal(Prior):
    """p(z) = N(0, I), Kingma & Welling 2013, section 3."""

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        self._like: Tensor
        self.register_buffer("_like", torch.zeros(()), persistent=False)  # knows the model's device and dtype

    def log_prob(self, z: Tensor) -> Tensor:
        return gaussian_log_prob(z, torch.zeros_like(z), torch.zeros_like(z))

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        return torch.randn(n, self.latent_dim, generator=generator, dtype=self._like.dtype, device=self._like.device)

    def kl(self, mean: Tensor, log_var: Tensor) -> Tensor:
        return gaussian_kl(mean, log_var)


class Tempered(StandardNormal):
    """p(z) = N(0, temperature^2 I): below 1 samples gather round the origin, above 1 they are drawn more widely.

    Raises:
        ConfigError: for a temperature that is not positive.
    """

    def __init__(self, latent_dim: int, temperature: float) -> None:
        super().__init__(latent_dim)
        if not 0 < temperature < math.inf:
            raise ConfigError(f"temperature={temperature}: expected a positive number, such as 0.7")
        self.temperature = temperature

    def log_prob(self, z: Tensor) -> Tensor:
        return super().log_prob(z / self.temperature) - z.shape[-1] * math.log(self.temperature)

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        return self.temperature * super().sample(n, generator)

    def kl(self, mean: Tensor, log_var: Tensor) -> Tensor:
        return gaussian_kl(mean / self.temperature, log_var - 2 * math.log(self.temperature))
