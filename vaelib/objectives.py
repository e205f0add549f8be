"""What a VAE maximises: the ELBO and its relatives, one figure per image, in nats.

Signs: `elbo` is a lower bound of log p(x) and is maximised; `reconstruction` is E_q[log p(x|z)] (usually negative for
Bernoulli pixels); `kl` is a divergence and never negative; elbo = reconstruction - kl. The distortion of the
rate-distortion literature is -reconstruction, its rate is kl.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, NamedTuple, Protocol

import torch
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor

from vaelib.config import Config, ConfigError, pick
from vaelib.likelihoods import Likelihood
from vaelib.priors import Prior, gaussian_kl, gaussian_log_prob, reparameterise

__all__ = [
    "ObjectiveConfig",
    "Terms",
    "beta_at",
    "bits_per_dim",
    "elbo",
    "elbo_at",
    "free_bits_kl",
    "gaussian_kl",
    "gaussian_log_prob",
    "importance_weighted_bound",
    "log_weights",
    "loss_function",
    "reparameterise",
    "sleep",
]


class LatentVariableModel(Protocol):
    """All that an objective needs to know of a model."""

    likelihood: Likelihood
    prior: Prior

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]: ...
    def decode(self, z: Tensor) -> Tensor: ...


class ObjectiveConfig(Config):
    """Which bound is maximised, and how.

    "aevb" climbs the bound in encoder and decoder at once (Kingma & Welling 2013); "wake-sleep" teaches the encoder on
    the decoder's own dreams instead (see `sleep`).

    `samples` is L, the draws of z per image (K for the importance-weighted bound). `beta` weighs the KL term and grows
    linearly from 0 over the first `warmup_epochs`; `free_bits` is the KL in nats that each dimension has for nothing.
    """

    algorithm: Literal["aevb", "wake-sleep"] = "aevb"
    bound: Literal["elbo", "importance-weighted"] = "elbo"
    samples: PositiveInt = 1
    kl: Literal["analytic", "monte-carlo"] = "analytic"
    beta: float = Field(default=1.0, ge=0)
    warmup_epochs: float = Field(default=0.0, ge=0)
    free_bits: float = Field(default=0.0, ge=0)

    @model_validator(mode="after")
    def _check(self) -> ObjectiveConfig:
        if self.free_bits and self.kl != "analytic":
            raise ConfigError(f"free_bits={self.free_bits} counts nats per dimension: it needs kl='analytic'")
        if self.bound != "elbo" and (self.beta != 1 or self.warmup_epochs or self.free_bits):
            raise ConfigError(
                "the importance-weighted bound has no KL term: leave beta, warmup_epochs and free_bits alone"
            )
        other = self.bound != "elbo" or self.beta != 1 or self.warmup_epochs or self.free_bits
        if self.algorithm == "wake-sleep" and other:
            raise ConfigError(
                "wake-sleep has no weighed KL and no other bound: leave bound, beta, warmup_epochs and free_bits alone"
            )
        return self


class Terms(NamedTuple):
    """The ELBO and its two terms, each (B,), in nats: elbo = reconstruction - kl."""

    elbo: Tensor
    reconstruction: Tensor
    kl: Tensor


def elbo(
    model: LatentVariableModel,
    x: Tensor,
    *,
    samples: int = 1,
    kl: Literal["analytic", "monte-carlo"] = "analytic",
    generator: torch.Generator | None = None,
) -> Terms:
    """The evidence lower bound of each image, x (B, D) -> Terms of (B,), estimated with `samples` draws of z.

    With the KL in closed form this is estimator B of Kingma & Welling 2013 (equation 7), else estimator A (equation 6).

    Raises:
        ValueError: for kl="analytic" with a prior whose KL has no closed form.
    """
    return elbo_at(model, x, *model.encode(x), samples=samples, kl=kl, generator=generator)


def elbo_at(
    model: LatentVariableModel,
    x: Tensor,
    mean: Tensor,
    log_var: Tensor,
    *,
    samples: int = 1,
    kl: Literal["analytic", "monte-carlo"] = "analytic",
    generator: torch.Generator | None = None,
) -> Terms:
    """`elbo`, where q(z|x) is known already: x (B, D), mean (B, Z) and log_var (B, Z) -> Terms of (B,).

    Raises:
        ValueError: for an unknown `kl`, and for "analytic" with a prior whose KL has no closed form.
    """
    pick("kl", kl, ("analytic", "monte-carlo"))
    z = reparameterise(mean, log_var, samples, generator)  # (S, B, Z)
    reconstruction = model.likelihood.log_prob(x, model.decode(z)).mean(0)
    if kl == "monte-carlo":
        divergence = (gaussian_log_prob(z, mean, log_var) - model.prior.log_prob(z)).mean(0)
    else:
        divergence = _analytic_kl(model.prior, mean, log_var).sum(-1)
    return Terms(reconstruction - divergence, reconstruction, divergence)


def _analytic_kl(prior: Prior, mean: Tensor, log_var: Tensor) -> Tensor:
    divergence = prior.kl(mean, log_var)
    if divergence is None:
        raise ValueError(f"the KL to the prior {type(prior).__name__} has no closed form: use kl='monte-carlo'")
    return divergence


def log_weights(
    model: LatentVariableModel,
    x: Tensor,
    mean: Tensor,
    log_var: Tensor,
    samples: int,
    generator: torch.Generator | None = None,
) -> Tensor:
    """log of p(x, z) / q(z|x) at draws z of q(z|x) = N(mean, e^log_var), nats: (B, D) and (B, Z) -> (samples, B)."""
    z = reparameterise(mean, log_var, samples, generator)
    log_joint = model.likelihood.log_prob(x, model.decode(z)) + model.prior.log_prob(z)
    return log_joint - gaussian_log_prob(z, mean, log_var)


def importance_weighted_bound(
    model: LatentVariableModel, x: Tensor, samples: int, generator: torch.Generator | None = None
) -> Tensor:
    """E[log 1/K sum_k p(x, z_k) / q(z_k|x)] with K = `samples`, nats: (B, D) -> (B,). Burda et al. 2016, equation 8.

    A lower bound of log p(x) that is the ELBO at K = 1 and tightens as K grows.
    """
    return torch.logsumexp(log_weights(model, x, *model.encode(x), samples, generator), 0) - math.log(samples)


def sleep(model: LatentVariableModel, n: int, generator: torch.Generator | None = None) -> Tensor:
    """log q(z|x) at n dreams, z from the prior and x from p(x|z), nats, (n,): what the sleep phase teaches the encoder.

    Hinton et al. 1995. Its gradient reaches the encoder alone.
    """
    with torch.no_grad():
        z = model.prior.sample(n, generator)
        x = model.likelihood.sample(model.decode(z), generator)
    return gaussian_log_prob(z, *model.encode(x))


def free_bits_kl(kl_per_dim: Tensor, free_bits: float) -> Tensor:
    """sum_j max(free_bits, batch mean of KL_j), nats: (B, Z) -> (). Kingma et al. 2016, appendix C.8."""
    return kl_per_dim.mean(0).clamp(min=free_bits).sum()


def beta_at(epoch: float, config: ObjectiveConfig) -> float:
    """The KL weight after `epoch` passes (fractions count): linear warm-up to `config.beta`. Bowman et al. 2016."""
    progress = min(1.0, epoch / config.warmup_epochs) if config.warmup_epochs else 1.0
    return config.beta * progress


def bits_per_dim(log_prob: Tensor | float, dims: int, *, density: bool) -> Tensor | float:
    """Bits per dimension of 8-bit data from log p(x) in nats, summed over `dims` pixels.

    A log-density of pixels scaled to [0, 1] (`density`) becomes one per grey level: each pixel costs log2(255) bits
    more, as levels are 1/255 apart. The log-probability of a discretised likelihood is used as it stands. Theis et al.
    2016, section 3.1.
    """
    bits = -log_prob / (dims * math.log(2))
    return bits + math.log2(255) if density else bits


LossFunction = Callable[[Tensor, float, "torch.Generator | None"], dict[str, Tensor]]


def loss_function(model: LatentVariableModel, config: ObjectiveConfig, *, binarise: bool = False) -> LossFunction:
    """What `training.fit` minimises: (batch, epoch, generator) -> "loss" and the terms to record, each (B,) or ().

    "elbo", "reconstruction" and "kl" are always those of the true bound, whatever beta and free bits make of "loss".
    With `binarise`, each batch is drawn anew from Bernoulli(x): dynamic binarisation.
    """

    def loss(x: Tensor, epoch: float, generator: torch.Generator | None) -> dict[str, Tensor]:
        if binarise:
            noise = torch.rand(x.shape, generator=generator, dtype=x.dtype, device=x.device)
            x = (noise < x).to(x.dtype)  # as torch.bernoulli, in a third of the time
        if config.bound == "importance-weighted":
            bound = importance_weighted_bound(model, x, config.samples, generator)
            return {"loss": -bound, "elbo": bound}
        if config.algorithm == "wake-sleep":
            with torch.no_grad():
                mean, log_var = model.encode(x)  # awake, the decoder learns alone
            terms = elbo_at(model, x, mean, log_var, samples=config.samples, kl=config.kl, generator=generator)
            return {"loss": -terms.elbo - sleep(model, len(x), generator), **terms._asdict()}
        mean, log_var = model.encode(x)
        terms = elbo_at(model, x, mean, log_var, samples=config.samples, kl=config.kl, generator=generator)
        penalty = terms.kl
        if config.free_bits:
            penalty = free_bits_kl(_analytic_kl(model.prior, mean, log_var), config.free_bits)
        return {"loss": beta_at(epoch, config) * penalty - terms.reconstruction, **terms._asdict()}

    return loss
