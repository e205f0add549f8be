"""Linear models whose evidence is known: probabilistic PCA, and a linear VAE trained without sampling.

Does training find what the theory of `vaelib.linear` foretells?
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor

__all__ = ["LinearVAE", "ppca", "ppca_log_evidence", "ppca_posterior", "train_linear"]


def ppca(x: Tensor, latent_dim: int) -> tuple[Tensor, Tensor, Tensor]:
    """The best probabilistic PCA of x (N, D): W (D, Z), b (D,) and sigma^2 (). Tipping & Bishop 1999, section 3.2."""
    eigenvalues, directions = torch.linalg.eigh(torch.cov(x.T))  # ascending
    eigenvalues, directions = eigenvalues.flip(0), directions.flip(1)
    sigma2 = eigenvalues[latent_dim:].mean()
    return directions[:, :latent_dim] * (eigenvalues[:latent_dim] - sigma2).sqrt(), x.mean(0), sigma2


def ppca_log_evidence(x: Tensor, weights: Tensor, bias: Tensor, sigma2: Tensor) -> Tensor:
    """log N(x; b, W W^T + sigma^2 I), nats: (N, D) -> (N,)."""
    return torch.distributions.LowRankMultivariateNormal(bias, weights, sigma2.expand(len(bias))).log_prob(x)


def ppca_posterior(x: Tensor, weights: Tensor, bias: Tensor, sigma2: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of p(z|x) for each of the orthogonal columns of W: (N, D) -> (N, Z), (N, Z)."""
    precision = weights.square().sum(0) + sigma2  # M = W^T W + sigma^2 I, which is diagonal
    return (x - bias) @ weights / precision, (sigma2 / precision).expand(len(x), -1)


class LinearVAE(NamedTuple):
    """A trained one, float64: x = W z + noise, q(z|x) = N(V x, diag s^2), for centred x; W (D, Z), V (Z, D), s (Z,)."""

    weights: Tensor
    encoder: Tensor
    deviation: Tensor

    def kl_per_dim(self, values: ArrayLike) -> Tensor:
        """Averages over data with these eigenvalues, in whose principal directions x is written, nats: -> (Z,)."""
        return _terms(self, _variances(values))[1]

    def directions(self, values: ArrayLike, threshold: float = 0.01) -> int:
        """In how many directions of z the posterior means vary by more than `threshold`."""
        covariance = self.encoder * _variances(values) @ self.encoder.T
        return int((torch.linalg.eigvalsh(covariance) > threshold).sum())


def train_linear(
    values: ArrayLike, latent_dim: int, sigma: float, beta: float = 1.0, *, seed: int = 0, steps: int = 300
) -> LinearVAE:
    """Maximises the ELBO of a linear VAE from random weights, without sampling, by L-BFGS.

    The average ELBO depends on data through their covariance only, so eigenvalues are as good as images: x is written
    in its principal directions. Up to `steps` iterations.
    """
    lam = _variances(values)
    generator = torch.Generator().manual_seed(seed)
    shapes = ((len(lam), latent_dim), (latent_dim, len(lam)))
    weights, encoder = (0.1 * torch.randn(shape, generator=generator, dtype=lam.dtype) for shape in shapes)
    log_deviation = torch.zeros(latent_dim, dtype=lam.dtype)
    parameters = [weights.requires_grad_(), encoder.requires_grad_(), log_deviation.requires_grad_()]
    stop: dict[str, Any] = {"max_iter": steps, "tolerance_grad": 1e-9, "tolerance_change": 1e-12}
    optimiser = torch.optim.LBFGS(parameters, history_size=20, line_search_fn="strong_wolfe", **stop)

    def loss() -> Tensor:
        optimiser.zero_grad()
        error, kl = _terms(LinearVAE(weights, encoder, log_deviation.exp()), lam)
        total = error / (2 * sigma**2) + beta * kl.sum()
        total.backward()
        return total

    optimiser.step(loss)
    return LinearVAE(weights.detach(), encoder.detach(), log_deviation.detach().exp())


def _terms(model: LinearVAE, lam: Tensor) -> tuple[Tensor, Tensor]:
    """E|x - W z|^2 and the KL of each latent, averaged over q and over data with variances lam (D,): (), (Z,)."""
    weights, encoder, deviation = model
    covariance = encoder * lam @ encoder.T  # (Z, Z), of the means
    gram = weights.T @ weights
    error = lam.sum() - 2 * (weights.T * (encoder * lam)).sum() + (gram * covariance).sum()
    noise = (gram.diagonal() * deviation.square()).sum()
    kl = 0.5 * (covariance.diagonal() + deviation.square() - 1 - 2 * deviation.log())
    return error + noise, kl


def _variances(values: ArrayLike) -> Tensor:
    """Eigenvalues as a tensor (D,), float64, largest first."""
    return torch.as_tensor(np.sort(np.array(values, dtype=np.float64))[::-1].copy())
