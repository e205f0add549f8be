"""A mixture of Gaussians as p(z), fitted to the codes of images once the model is trained."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from vaelib.config import ConfigError
from vaelib.priors.base import Prior

__all__ = ["Mixture", "MixtureFit", "fit_mixture"]

ENOUGH = 0.01  # nats per code: EM that gains less stops; held-out codes are no likelier after twice as many steps
CODES_AT_ONCE = 1000  # more would leave the cache


class Mixture(Prior):
    """p(z) = sum_k w_k N(z; mean_k, L_k L_k^T), with weights w (K,), means (K, Z) and Cholesky factors L (K, Z, Z).

    The log of each term is a polynomial of degree two in z, so one product of the `coefficients`
    (K, Z (Z + 1) / 2 + Z) with the monomials of all codes gives all of them. It is taken in double precision: terms
    much larger than their sum cancel.
    """

    log_weights: Tensor
    means: Tensor
    factors: Tensor
    coefficients: Tensor
    constants: Tensor

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
        for name, array in {"log_weights": log_weights, "means": means, "factors": factors}.items():
            self.register_buffer(name, torch.from_numpy(np.ascontiguousarray(array)).float())
        inverses = np.linalg.inv(factors)  # (K, Z, Z)
        precisions = inverses.transpose(0, 2, 1) @ inverses
        linear = (precisions @ means[..., None]).squeeze(-1)  # (K, Z)
        rows, columns = np.triu_indices(z)
        quadratic = precisions[:, rows, columns] * np.where(rows == columns, -0.5, -1.0)
        log_scales = np.log(inverses.diagonal(axis1=1, axis2=2)).sum(1) - 0.5 * z * np.log(2 * np.pi)
        constants = log_weights + log_scales - 0.5 * (linear * means).sum(1)
        self.register_buffer("coefficients", torch.from_numpy(np.hstack([quadratic, linear])))
        self.register_buffer("constants", torch.from_numpy(constants[:, None]))

    @classmethod
    def restored(cls, state: Mapping[str, Tensor]) -> Mixture:
        """The mixture whose `state_dict` this is, to the bit."""
        mixture = cls(state["log_weights"].exp(), state["means"], state["factors"])
        mixture.load_state_dict(dict(state))
        return mixture

    def log_prob(self, z: Tensor) -> Tensor:
        codes = z.reshape(-1, self.latent_dim).split(CODES_AT_ONCE)
        return torch.cat([self._log_prob(part) for part in codes]).reshape(z.shape[:-1])

    def _log_prob(self, z: Tensor) -> Tensor:
        exact = z.to(self.coefficients.dtype).T.contiguous()  # (Z, N): rows of the monomials are products of rows
        monomials = torch.cat([*(exact[i] * exact[i:] for i in range(self.latent_dim)), exact])
        return torch.logsumexp(torch.addmm(self.constants, self.coefficients, monomials).to(z.dtype), 0)

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        k = torch.multinomial(self.log_weights.exp(), n, replacement=True, generator=generator)
        epsilon = torch.randn(
            n, self.latent_dim, 1, generator=generator, dtype=self.means.dtype, device=self.means.device
        )
        return self.means[k] + (self.factors[k] @ epsilon).squeeze(-1)


class MixtureFit(NamedTuple):
    """The mixture, its size, and the mean held-out log-density, in nats, of each number of components tried."""

    prior: Mixture
    components: int
    scores: dict[int, float]


def fit_mixture(
    codes: Tensor,
    held_out: Tensor,
    components: Sequence[int] = (20, 40, 80),
    *,
    fits: int = 20,
    narrowest: float = 0.14,
    seed: int = 0,
) -> MixtureFit:
    """Mixtures fitted to codes (N, Z); the size that is as good as any on `held_out` (M, Z) is then fitted to both.

    That is the largest number of components whose mean log-density lies within one standard error of the best. Each
    mixture is the average of `fits` mixtures with full covariances, fitted by EM from different starts: an average
    of densities pays less where one of them is too sure of itself. `narrowest` is the least standard deviation that a
    component may have in any direction. Fitting a density to the codes after training is the "ex-post" estimation of
    Ghosh et al. 2020, section 4. With one size there is nothing to choose, and no score.

    Raises:
        ConfigError: no size, more components than codes or fewer than one, no fit, or too few held-out codes to choose.
    """
    if not components or fits < 1:
        raise ConfigError(f"components={tuple(components)}, fits={fits}: expected one size and one fit, or more")
    for k in components:
        if not 1 <= k <= len(codes):
            raise ConfigError(f"components={k}: expected a number from 1 to {len(codes)}, the number of codes")
    both = torch.cat([codes, held_out])
    if len(components) == 1:
        return MixtureFit(_average(both, components[0], fits, narrowest, seed), components[0], {})
    if len(held_out) < 2:
        raise ConfigError(f"{len(held_out)} held-out codes: choosing among {len(components)} sizes needs at least 2")
    candidates = {k: _average(codes, k, fits, narrowest, seed) for k in components}
    log_probs = {k: prior.log_prob(held_out).double() for k, prior in candidates.items()}
    best = max(log_probs.values(), key=lambda values: values.mean().item())
    chosen = max(k for k, values in log_probs.items() if _not_worse(values, best))
    scores = {k: values.mean().item() for k, values in log_probs.items()}
    return MixtureFit(_average(both, chosen, fits, narrowest, seed), chosen, scores)


def _not_worse(values: Tensor, best: Tensor) -> bool:
    """Whether a mean falls behind the best by no more than the standard error of their difference."""
    behind = best - values
    return behind.mean().item() <= behind.std().item() / math.sqrt(len(behind))


def _average(codes: Tensor, components: int, fits: int, narrowest: float, seed: int) -> Mixture:
    """The average of several mixtures is a mixture of all their components."""
    from sklearn.mixture import GaussianMixture
    from threadpoolctl import threadpool_limits

    x = codes.detach().cpu().numpy()
    mixtures = [
        GaussianMixture(components, tol=ENOUGH, reg_covar=narrowest**2, random_state=seed + i) for i in range(fits)
    ]
    with threadpool_limits(1):  # EM is many small products: threads that wait for each other only slow it down
        members = [mixture.fit(x) for mixture in mixtures]
    return Mixture(
        np.concatenate([member.weights_ for member in members]),
        np.concatenate([member.means_ for member in members]),
        np.linalg.cholesky(np.concatenate([member.covariances_ for member in members]).astype(np.float64)),
    )
