"""A normalising flow as p(z): N(0, I) bent by invertible networks (zuko)."""

from __future__ import annotations

import torch
from torch import Tensor

from vaelib.priors.base import Prior, gaussian_log_prob

__all__ = ["Flow"]

AT_ONCE = 1000  # codes that are drawn together: more would leave the cache, and take nearly twice as long


class Flow(Prior):
    """p(z) = N(f(z); 0, I) |det df/dz|, with f a neural spline flow (Durkan et al. 2019) of `transforms` steps."""

    def __init__(self, latent_dim: int, transforms: int = 3, width: int = 64) -> None:
        from zuko.flows import NSF

        super().__init__()
        self.latent_dim = latent_dim
        self.flow = NSF(latent_dim, transforms=transforms, hidden_features=(width, width))

    def log_prob(self, z: Tensor) -> Tensor:
        base, log_det = self.flow().transform.call_and_ladj(z)
        return gaussian_log_prob(base, torch.zeros_like(base), torch.zeros_like(base)) + log_det

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        like = next(self.parameters())
        base = torch.randn(n, self.latent_dim, generator=generator, dtype=like.dtype, device=like.device)
        inverse = self.flow().transform.inv
        return torch.cat([inverse(part) for part in base.split(AT_ONCE)])
