"""What theory says of a linear VAE before any training: which directions it keeps, and at which cost.

A linear VAE is probabilistic PCA with an encoder (Tipping & Bishop 1999; Lucas et al. 2019). Its best solution depends
on the eigenvalues of the data's covariance, and on sigma and beta through the *price* beta sigma^2 alone: a direction
is kept if the data vary along it by more than that (reverse water-filling, Cover & Thomas 2006, section 10.3.3).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Prediction", "eigenvalues", "predict"]


class Prediction(NamedTuple):
    """The best linear VAE of data with known eigenvalues: means over images, summed over pixels."""

    active: int
    kl_per_dim: NDArray[np.float64]  # (Z,), nats, largest first
    kl: float  # nats
    expected_error: float  # E_q|x - m|^2, the one in the ELBO
    squared_error: float  # at the posterior's mean, as in `evaluation`
    elbo: float  # nats; for beta = 1 also the average log-evidence


def eigenvalues(x: ArrayLike) -> NDArray[np.float64]:
    """Of the covariance of x (N, D), which divides by N; (D,), largest first."""
    x = np.asarray(x, dtype=np.float64)
    if x.ndim != 2 or len(x) < 2:
        raise ValueError(f"eigenvalues of data of shape {x.shape}: expected (images, pixels), two images or more")
    return np.linalg.eigvalsh(np.cov(x.T, ddof=0).reshape(x.shape[1], -1))[::-1].clip(min=0)


def predict(values: ArrayLike, latent_dim: int, sigma: float, beta: float = 1.0) -> Prediction:
    """The best linear VAE with `latent_dim` latents and a fixed sigma, for data with these D eigenvalues.

    Direction j is kept if lambda_j > beta sigma^2 = v. Then its KL is log(lambda_j / v) / 2, its expected error v and
    its error at the posterior's mean v^2 / lambda_j; else they are 0 and lambda_j.
    """
    if not (sigma > 0 and beta > 0):
        raise ValueError(f"sigma={sigma:g}, beta={beta:g}: both must be positive")
    values = np.sort(np.asarray(values, dtype=np.float64))[::-1]
    if not 1 <= latent_dim <= len(values):
        raise ValueError(f"latent_dim={latent_dim}: expected 1 to {len(values)}, the number of eigenvalues")
    kept, rest = values[:latent_dim], values[latent_dim:]
    price = beta * sigma**2
    used = kept > price
    kl = np.where(used, 0.5 * np.log(kept / price, where=used, out=np.zeros_like(kept)), 0.0)
    expected = np.minimum(kept, price).sum() + rest.sum()
    at_mean = np.where(used, price**2 / np.maximum(kept, price), kept).sum() + rest.sum()
    elbo = -0.5 * (expected / sigma**2 + len(values) * math.log(2 * math.pi * sigma**2)) - kl.sum()
    return Prediction(int(used.sum()), kl, float(kl.sum()), float(expected), float(at_mean), float(elbo))
