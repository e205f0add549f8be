"""VampPrior: a mixture of the posteriors of images that never were, learned together with the model."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from vaelib.priors.base import Prior, gaussian_log_prob, reparameterise

__all__ = ["Vamp"]


class Vamp(Prior):
    """p(z) = 1/K sum_k q(z | u_k), Tomczak & Welling 2018, equation 9; u (K, D) are learned pseudo-inputs in (0, 1).

    `encoder` is the model's own: the prior looks at it, and does not count it among its parameters.
    """

    def __init__(self, encoder: nn.Module, pixels: int, latent_dim: int, pseudo_inputs: int) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        self.logits = nn.Parameter(torch.randn(pseudo_inputs, pixels))
        self._encoder = (encoder,)  # in a tuple, so that torch does not take it for a part of the prior

    def components(self) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of each component: (K, Z), (K, Z)."""
        return self._encoder[0](torch.sigmoid(self.logits))

    def log_prob(self, z: Tensor) -> Tensor:
        mean, log_var = self.components()
        return torch.logsumexp(gaussian_log_prob(z[..., None, :], mean, log_var), -1) - math.log(len(mean))

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        mean, log_var = self.components()
        k = torch.randint(len(mean), (n,), generator=generator, device=mean.device)
        return reparameterise(mean[k], log_var[k], 1, generator).squeeze(0)
