"""What theory says of a linear VAE before any training: which directions it keeps, at which cost, and its evidence.

A linear VAE is probabilistic PCA with an encoder (Tipping & Bishop 1999; Lucas et al. 2019). Its best solution depends
on the data through the eigenvalues of their covariance only, and on sigma and beta through beta sigma^2 only, the
*price*: a direction is kept if the data vary along it by more than that. All else follows (Cover & Thomas 2006, section
10.3.3, reverse water-filling).
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from vaelib.config import ConfigError
from vaelib.models import VAE
from vaelib.priors import StandardNormal

__all__ = [
    "LinearVAE",
    "Prediction",
    "eigenvalues",
    "linear_decoder",
    "log_evidence",
    "optimal_sigma",
    "predict",
    "train_linear",
]


class Prediction(NamedTuple):
    """The best linear VAE of data with known eigenvalues; means over images, pixels summed.

    `kl_per_dim` (Z,) in nats, largest first; `expected_error` is E_q|x - m|^2, the one in the ELBO; `squared_error` is
    that at the posterior's mean, as in `evaluation`; `elbo` in nats, for beta = 1 also the average log-evidence.
    """

    active: int
    kl_per_dim: NDArray[np.float64]
    kl: float
    expected_error: float
    squared_error: float
    elbo: float


def eigenvalues(x: ArrayLike) -> NDArray[np.float64]:
    """Of the covariance of x (N, D), which divides by N; (D,), largest first."""
    x = np.asarray(x, dtype=np.float64)
    if x.ndim != 2 or len(x) < 2:
        raise ValueError(f"eigenvalues of data of shape {x.shape}: expected (images, pixels), two images or more")
    return np.linalg.eigvalsh(np.cov(x.T, ddof=0).reshape(x.shape[1], -1))[::-1].clip(min=0)


def predict(values: ArrayLike, latent_dim: int, sigma: float, beta: float = 1.0) -> Prediction:
    """The best linear VAE with `latent_dim` latents and a fixed sigma, for data with these eigenvalues (all D of them).

    Direction j is kept if lambda_j > beta sigma^2 = v. Then its KL is log(lambda_j / v) / 2, its expected error v and
    its error at the posterior's mean v^2 / lambda_j; else they are 0 and lambda_j.

    Raises:
        ValueError: sigma or beta is not positive, or there are more latents than eigenvalues.
    """
    values = np.sort(np.asarray(values, dtype=np.float64))[::-1]
    if not (sigma > 0 and beta > 0):
        raise ValueError(f"sigma={sigma:g}, beta={beta:g}: both must be positive")
    kept, rest = values[: _within(latent_dim, values)], values[latent_dim:].sum()
    price = beta * sigma**2
    used = kept > price
    kl = np.where(used, 0.5 * np.log(kept / price, where=used, out=np.zeros_like(kept)), 0.0)
    expected = np.minimum(kept, price).sum() + rest
    at_mean = np.where(used, price**2 / np.maximum(kept, price), kept).sum() + rest
    elbo = -0.5 * (expected / sigma**2 + len(values) * math.log(2 * math.pi * sigma**2)) - kl.sum()
    return Prediction(int(used.sum()), kl, float(kl.sum()), float(expected), float(at_mean), float(elbo))


def optimal_sigma(values: ArrayLike, latent_dim: int) -> float:
    """The sigma that a linear VAE learns: the root of the mean eigenvalue that its latents leave over.

    Tipping & Bishop 1999, equation 8.
    """
    values = np.sort(np.asarray(values, dtype=np.float64))[::-1]
    if _within(latent_dim, values) == len(values):
        raise ValueError(f"latent_dim={latent_dim}: with a latent for each pixel there is no noise left to learn")
    return math.sqrt(values[latent_dim:].mean())


class LinearVAE(NamedTuple):
    """A trained one, float64: x = W z + noise, q(z|x) = N(V x, diag s^2), for centred x; W (D, Z), V (Z, D), s (Z,)."""

    weights: Tensor
    encoder: Tensor
    deviation: Tensor

    def kl_per_dim(self, values: ArrayLike) -> Tensor:
        """Averages over data with these eigenvalues, in whose principal directions x is written, nats: -> (Z,)."""
        return _linear_terms(self, _variances(values))[1]

    def directions(self, values: ArrayLike, threshold: float = 0.01) -> int:
        """In how many directions of z the posterior means vary by more than `threshold`."""
        spread = self.encoder * _variances(values) @ self.encoder.T
        return int((torch.linalg.eigvalsh(spread) > threshold).sum())


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
    optimiser = torch.optim.LBFGS(
        parameters,
        max_iter=steps,
        history_size=20,
        tolerance_grad=1e-9,
        tolerance_change=1e-12,
        line_search_fn="strong_wolfe",
    )

    def loss() -> Tensor:
        optimiser.zero_grad()
        error, kl = _linear_terms(LinearVAE(weights, encoder, log_deviation.exp()), lam)
        total = error / (2 * sigma**2) + beta * kl.sum()
        total.backward()
        return total

    optimiser.step(loss)
    return LinearVAE(weights.detach(), encoder.detach(), log_deviation.detach().exp())


def _linear_terms(model: LinearVAE, lam: Tensor) -> tuple[Tensor, Tensor]:
    """E|x - W z|^2 and the KL of each latent, averaged over q and over data with variances lam (D,): (), (Z,)."""
    weights, encoder, deviation = model
    spread = encoder * lam @ encoder.T  # (Z, Z), the covariance of the means
    gram = weights.T @ weights
    error = lam.sum() - 2 * (weights.T * (encoder * lam)).sum() + (gram * spread).sum()
    noise = (gram.diagonal() * deviation.square()).sum()
    kl = 0.5 * (spread.diagonal() + deviation.square() - 1 - 2 * deviation.log())
    return error + noise, kl


def linear_decoder(model: VAE) -> tuple[Tensor, Tensor, float]:
    """W (D, Z), b (D,) and sigma of a model with p(x|z) = N(W z + b, sigma^2 I), float64.

    Raises:
        ConfigError: the model is not linear, its likelihood not Gaussian, or sigma is not one for all pixels.
    """
    config, likelihood = model.config, model.config.likelihood
    for name, value, expected in (
        ("likelihood.name", likelihood.name, "gaussian"),
        ("likelihood.mean", likelihood.mean, "identity"),
        ("activation", "identity" if not config.hidden else config.activation, "identity"),
    ):
        if value != expected:
            raise ConfigError(f"{name}={value!r}: only a model with {name}={expected!r} is linear")
    if likelihood.sigma == "per-pixel":
        raise ConfigError("likelihood.sigma='per-pixel': the exact evidence needs one sigma for all pixels")
    if not isinstance(model.prior, StandardNormal):
        raise ConfigError(f"prior {type(model.prior).__name__}: the exact evidence is that of z from N(0, I)")
    with torch.no_grad():
        offset = model.decode(torch.zeros(config.latent_dim))
        weights = (model.decode(torch.eye(config.latent_dim)) - offset).T
        sigma: Any = model.likelihood.sigma(offset)  # type: ignore[operator]
    return weights.double(), offset.double(), float(sigma)


def log_evidence(x: Tensor, weights: Tensor, offset: Tensor, sigma: float) -> Tensor:
    """log N(x; b, W W^T + sigma^2 I) in nats, exactly: x (N, D), W (D, Z), b (D,) -> (N,).

    Tipping & Bishop 1999, equation 4.
    """
    noise = torch.full_like(offset.double(), sigma**2)
    exact = torch.distributions.LowRankMultivariateNormal(offset.double(), weights.double(), noise)
    return exact.log_prob(x.double())


def _variances(values: ArrayLike) -> Tensor:
    """Eigenvalues as a tensor (D,), float64, largest first, as all of this module has them."""
    return torch.as_tensor(np.sort(np.array(values, dtype=np.float64))[::-1].copy())


def _within(latent_dim: int, values: NDArray[np.float64]) -> int:
    if not 1 <= latent_dim <= len(values):
        raise ValueError(f"latent_dim={latent_dim}: expected 1 to {len(values)}, the number of eigenvalues")
    return latent_dim
