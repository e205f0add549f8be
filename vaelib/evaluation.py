"""What a trained model is worth: likelihood, reconstruction and the use it makes of its latents."""

from __future__ import annotations

import copy
import math
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from vaelib.likelihoods import make_likelihood
from vaelib.models import VAE
from vaelib.objectives import Terms, bits_per_dim, elbo_at, gaussian_kl, log_weights
from vaelib.progress import bar

__all__ = [
    "Estimate",
    "active_units",
    "discretised",
    "kl_per_dim",
    "log_likelihood",
    "posterior",
    "squared_error",
    "summary",
]

BATCH = 1000
ACTIVE = 0.01  # Burda et al.'s least variance of an active unit's mean
IMAGES_AT_ONCE, DECODES_AT_ONCE = 64, 512  # of `log_likelihood`: its memory stays small, and so in the cache


class Estimate(NamedTuple):
    """A Monte Carlo estimate for each image and its standard error, (N,) each."""

    value: Tensor
    standard_error: Tensor

    def mean(self) -> tuple[float, float]:
        """The average over the images, and the Monte Carlo standard error of that average."""
        error = self.standard_error.double().square().sum().sqrt() / len(self.value)
        return self.value.double().mean().item(), error.item()


@torch.no_grad()
def posterior(model: VAE, x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and log-variance of q(z|x) for all of x: (N, D) -> (N, Z), (N, Z)."""
    parts = [model.encode(batch) for batch in x.split(BATCH)]
    return torch.cat([mean for mean, _ in parts]), torch.cat([log_var for _, log_var in parts])


def kl_per_dim(model: VAE, x: Tensor) -> Tensor:
    """The average KL(q(z_j|x) || N(0, 1)) of each latent dimension over x, nats: (N, D) -> (Z,)."""
    return gaussian_kl(*posterior(model, x)).mean(0)


def active_units(model: VAE, x: Tensor, threshold: float = ACTIVE) -> Tensor:
    """Which dimensions the encoder uses: variance over x of E[z_j|x] > threshold, (Z,) bool. Burda et al. 2016, 5.2."""
    return posterior(model, x)[0].var(0) > threshold


@torch.no_grad()
def squared_error(model: VAE, x: Tensor) -> Tensor:
    """|x - E[x|z]|^2 at the posterior's mean, summed over pixels in [0, 1]: (N, D) -> (N,)."""
    return _squared_error(model, x, posterior(model, x)[0])


def _squared_error(model: VAE, x: Tensor, mean: Tensor) -> Tensor:
    batches = zip(x.split(BATCH), mean.split(BATCH), strict=True)
    return torch.cat([(batch - model.mean_image(z)).square().sum(-1) for batch, z in batches])


@torch.no_grad()
def log_likelihood(
    model: VAE,
    x: Tensor,
    samples: int = 5000,
    generator: torch.Generator | None = None,
    *,
    progress: bool | None = None,
) -> Estimate:
    """log p(x) by importance sampling from q(z|x), nats: (N, D) -> Estimate of (N,). Rezende et al. 2014, appendix E.

    A lower bound in expectation that reaches log p(x) as `samples` grows. The standard error comes from the spread of
    the weights (delta method) and is too small where a few draws carry all the weight.

    Raises:
        ValueError: for fewer than two samples.
    """
    if samples < 2:
        raise ValueError(f"samples={samples}: a standard error needs at least 2")
    was_training = model.training
    model.eval()
    batches = x.split(IMAGES_AT_ONCE)
    values, errors = [], []
    for batch in bar(batches, desc="log p(x)", unit="batch", show=progress):
        value, error = _importance_sample(model, batch, samples, generator)
        values.append(value)
        errors.append(error)
    model.train(was_training)
    return Estimate(torch.cat(values), torch.cat(errors))


def _importance_sample(model: VAE, x: Tensor, samples: int, generator: torch.Generator | None) -> tuple[Tensor, Tensor]:
    """Accumulates log sum w and log sum w^2 over chunks of samples."""
    first = second = torch.full((len(x),), -math.inf, dtype=x.dtype, device=x.device)
    mean, log_var = model.encode(x)
    chunk = max(1, DECODES_AT_ONCE // len(x))
    for start in range(0, samples, chunk):
        log_w = log_weights(model, x, mean, log_var, min(chunk, samples - start), generator)  # (S, B)
        first = torch.logaddexp(first, torch.logsumexp(log_w, 0))
        second = torch.logaddexp(second, torch.logsumexp(2 * log_w, 0))
    value = first - math.log(samples)
    relative_variance = torch.expm1(second - math.log(samples) - 2 * value).clamp(min=0)  # Var[w] / E[w]^2
    return value, (relative_variance / (samples - 1)).sqrt()


def discretised(model: VAE) -> VAE:
    """The same model with its Gaussian density of a pixel integrated over the bin of each of 256 grey levels.

    Its ELBO is a bound on a probability, and so gives an honest number of bits per dimension.

    Raises:
        ValueError: when the model's likelihood is not Gaussian.
    """
    likelihood = model.config.likelihood
    if likelihood.name != "gaussian":
        raise ValueError(f"likelihood {likelihood.name!r} cannot be discretised: only 'gaussian' can")
    sigma = "fixed" if likelihood.sigma == "optimal" else likelihood.sigma
    config = model.config.replace(likelihood=likelihood.replace(name="discretised-gaussian", sigma=sigma))
    twin = copy.deepcopy(model)
    twin.config, twin.likelihood = config, make_likelihood(config.likelihood)
    with torch.no_grad():
        twin.likelihood.state_dict()["log_variance"].copy_(model.likelihood.state_dict()["log_variance"])
    return twin.eval()


@torch.no_grad()
def summary(model: VAE, x: Tensor, seed: int = 0) -> dict[str, float]:
    """The figures that a run records for one split: means over x (N, D), nats per image unless named otherwise.

    "bits_per_dim" is the bound -ELBO of the 256 grey levels, for likelihoods that are Gaussian or discretised.
    """
    model.eval()  # in training an "optimal" sigma would be that of these very images
    codes = posterior(model, x)
    figures = {**_elbo_of_all(model, x, codes, seed)._asdict(), "squared_error": _squared_error(model, x, codes[0])}
    means = {name: value.double().mean().item() for name, value in figures.items()}
    means["active_units"] = int((codes[0].var(0) > ACTIVE).sum()) if len(x) > 1 else 0
    if model.config.likelihood.name != "bernoulli":
        of_levels = discretised(model) if model.config.likelihood.name == "gaussian" else model
        bound = _elbo_of_all(of_levels, x, codes, seed).elbo.double().mean().item()
        means["bits_per_dim"] = float(bits_per_dim(bound, x.shape[1], density=False))
    return means


def _elbo_of_all(model: VAE, x: Tensor, codes: tuple[Tensor, Tensor], seed: int) -> Terms:
    generator = torch.Generator(x.device).manual_seed(seed)
    closed_form = model.prior.kl(codes[0][:1], codes[1][:1]) is not None
    kl: Literal["analytic", "monte-carlo"] = "analytic" if closed_form else "monte-carlo"
    batches = zip(x.split(BATCH), codes[0].split(BATCH), codes[1].split(BATCH), strict=True)
    parts = [elbo_at(model, *batch, kl=kl, generator=generator) for batch in batches]
    return Terms(*(torch.cat(term) for term in zip(*parts, strict=True)))
