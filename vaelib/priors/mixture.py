"""A mixture of Gaussians as p(z), fitted to the codes of images once the model is trained."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from vaelib.config import ConfigError
from vaelib.priors.base import Prior

__all__ = ["Mixture", "MixtureFit", "fit_mixture"]


class Mixture(Prior):
    """p(z) = sum_k w_k N(z; mean_k, L_k L_k^T), with weights w (K,), means (K, Z) and Cholesky factors L (K, Z, Z)."""

    log_weights: Tensor
    means: Tensor
    factors: Tensor
    inverses: Tensor

    def __init__(self, weights: ArrayLike, means: ArrayLike, factors: ArrayLike) -> None:
        super().__init__()
        weights, means, factors = (np.asarray(a, dtype=np.float64) for a in (weights, means, factors))
        k, z = np.shape(means)
        if weights.shape != (k,) or factors.shape != (k, z, z):
            raise ConfigError(
                f"a mixture of {k} components in {z} dimensions has weights ({k},) and factors ({k}, {z}, {z}); these "
                f"are {weights.shape} and {factors.shape}"
            )
        self.latent_dim = z
        with np.errstate(divide="ignore"):
            log_weights = np.log(weights / weights.sum())
        inverses = np.linalg.inv(factors)
        for name, array in zip(
            ("log_weights", "means", "factors", "inverses"), (log_weights, means, factors, inverses), strict=True
        ):
            self.register_buffer(name, torch.from_numpy(array).float())

    def log_prob(self, z: Tensor) -> Tensor:
        whitened = torch.einsum("kij,...kj->...ki", self.inverses, z[..., None, :] - self.means)  # (..., K, Z)
        log_det = self.inverses.diagonal(dim1=-2, dim2=-1).log().sum(-1)  # (K,)
        log_normal = log_det - 0.5 * (whitened.square().sum(-1) + self.latent_dim * math.log(2 * math.pi))
        return torch.logsumexp(self.log_weights + log_normal, -1)

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        k = torch.multinomial(self.log_weights.exp(), n, replacement=True, generator=generator)
        epsilon = torch.randn(
            n, self.latent_dim, 1, generator=generator, dtype=self.means.dtype, device=self.means.device
        )
        return self.means[k] + (self.factors[k] @ epsilon).squeeze(-1)


class MixtureFit(NamedTuple):
    """The mixture that was chosen, and the mean held-out log-density, in nats, of each number of components tried."""

    prior: Mixture
    components: int
    scores: dict[int, float]


def fit_mixture(
    codes: Tensor,
    held_out: Tensor,
    components: Sequence[int] = (20, 40, 80),
    *,
    fits: int = 10,
    narrowest: float = 0.14,
    seed: int = 0,
) -> MixtureFit:
    """Mixtures fitted to codes (N, Z), and the one that is as good as any on `held_out` (M, Z) is taken.

    That is the one with the most components among those whose mean log-density lies within one standard error of the
    best. Each is the average of `fits` mixtures with full covariances, fitted by EM from different starts: an average
    of densities pays less where one of them is too sure of itself. `narrowest` is the least standard deviation that a
    component may have in any direction. Fitting a density to the codes after training is the "ex-post" estimation of
    Ghosh et al. 2020, section 4.

    Raises:
        ConfigError: more components than codes, or fewer than one.
    """
    for k in components:
        if not 1 <= k <= len(codes):
            raise ConfigError(f"components={k}: expected a number from 1 to {len(codes)}, the number of codes")
    candidates = {k: _average(codes, k, fits, narrowest, seed) for k in components}
    log_probs = {k: prior.log_prob(held_out).double() for k, prior in candidates.items()}
    best = max(log_probs.values(), key=lambda values: values.mean().item())
    chosen = max(k for k, values in log_probs.items() if _not_worse(values, best))
    return MixtureFit(candidates[chosen], chosen, {k: values.mean().item() for k, values in log_probs.items()})


def _not_worse(values: Tensor, best: Tensor) -> bool:
    """Whether a mean falls behind the best by no more than the standard error of their difference."""
    behind = best - values
    return behind.mean().item() <= behind.std().item() / math.sqrt(len(behind))


def _average(codes: Tensor, components: int, fits: int, narrowest: float, seed: int) -> Mixture:
    """The average of several mixtures is a mixture of all their components."""
    from sklearn.mixture import GaussianMixture

    x = codes.detach().cpu().double().numpy()
    members = [GaussianMixture(components, reg_covar=narrowest**2, random_state=seed + i).fit(x) for i in range(fits)]
    return Mixture(
        np.concatenate([member.weights_ for member in members]),
        np.concatenate([member.means_ for member in members]),
        np.linalg.cholesky(np.concatenate([member.covariances_ for member in members])),
    )
