"""What a trained model is worth: likelihood, reconstruction and the use it makes of its latents."""

from __future__ import annotations

import math
import warnings
from contextlib import suppress
from typing import NamedTuple

import torch
from torch import Tensor

from vaelib.config import ConfigError
from vaelib.linear import eigenvalues
from vaelib.models import VAE, LatentVariableModel, UnsupportedError
from vaelib.objectives import bits_per_dim
from vaelib.posteriors import gaussian_kl, reparameterise
from vaelib.progress import TITLES, bar, signed

__all__ = ["TITLES", "Estimate", "active_units", "aggregate_posterior", "directions_in_use", "encode", "expected_error"]
__all__ += ["kl_per_dim", "log_likelihood", "signed", "squared_error", "summary"]

BATCH = 1000
ACTIVE = 0.01  # Burda et al.'s least variance of an active unit's mean
AT_ONCE = {"cpu": (64, 512)}  # images and decodes of `log_likelihood`: its memory stays small, and so in the cache
AT_ONCE_ELSEWHERE = (1000, 500_000)  # a GPU wants much to do
FEW = 30  # effective draws of z below which a standard error is not to be trusted


@torch.no_grad()
def encode(model: VAE, x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and log-variance of q(z|x) for all of x, in batches: (N, D) -> (N, Z), (N, Z)."""
    parts = [model.encode(batch) for batch in x.split(BATCH)]
    return torch.cat([mean for mean, _ in parts]), torch.cat([log_var for _, log_var in parts])


def aggregate_posterior(model: VAE, x: Tensor, draws: int = 1, seed: int = 0) -> Tensor:
    """Draws of the aggregate posterior 1/N sum_n q(z|x_n), `draws` for each image: (N, D) -> (draws * N, Z)."""
    return reparameterise(*encode(model, x), draws, torch.Generator().manual_seed(seed)).flatten(0, 1)


def kl_per_dim(model: VAE, x: Tensor) -> Tensor:
    """The average KL(q(z_j|x) || N(0, 1)) of each latent dimension over x, nats: (N, D) -> (Z,)."""
    return gaussian_kl(*encode(model, x)).mean(0)


def active_units(model: VAE, x: Tensor, threshold: float = ACTIVE) -> Tensor:
    """Which dimensions the encoder uses: variance over x of E[z_j|x] > threshold, (Z,) bool. Burda et al. 2016, 5.2."""
    return encode(model, x)[0].var(0) > threshold


def directions_in_use(model: VAE, x: Tensor, threshold: float = ACTIVE) -> int:
    """In how many directions of z the posterior means vary by more than `threshold`, whatever the axes: x (N, D).

    `active_units` counts axes: it takes one direction that lies askew to several of them for several.
    """
    return int((eigenvalues(encode(model, x)[0].numpy()) > threshold).sum())


@torch.no_grad()
def squared_error(model: LatentVariableModel, x: Tensor) -> Tensor:
    """|x - reconstruction|^2, for a VAE that at the posterior's mean, summed over pixels: (N, D) -> (N,)."""
    return torch.cat([(batch - model.reconstruct(batch)).square().sum(-1) for batch in x.split(BATCH)])


@torch.no_grad()
def expected_error(model: VAE, x: Tensor) -> float:
    """The mean over x (N, D) of E_q|x - E[x|z]|^2, from one draw of z per image: the error that training sees."""
    generator = torch.Generator().manual_seed(0)
    errors = []
    for batch in x.split(BATCH):
        z = model.posterior(batch).sample(1, generator)[0]
        errors.append((batch - model.mean_image(z)).square().sum(-1))
    return torch.cat(errors).double().mean().item()


class Estimate(NamedTuple):
    """log p(x) of each image, (N,), nats: an importance-weighted bound that is near it, which `kind` says in words.

    `standard_error` is Monte Carlo's, from the spread of the weights (delta method). It is too small where few draws
    carry all the weight: `effective_samples` says how many do, (sum w)^2 / sum w^2 (Kong 1992).
    """

    value: Tensor
    standard_error: Tensor
    effective_samples: Tensor
    kind: str

    def mean(self) -> tuple[float, float]:
        """The average over the images, and the Monte Carlo standard error of that average."""
        error = self.standard_error.double().square().sum().sqrt() / len(self.value)
        return self.value.double().mean().item(), error.item()


@torch.no_grad()
def log_likelihood(
    model: LatentVariableModel,
    x: Tensor,
    samples: int = 5000,
    generator: torch.Generator | None = None,
    *,
    progress: bool | None = None,
) -> Estimate:
    """log p(x) by importance sampling from q(z|x), nats: (N, D) -> Estimate of (N,). Rezende et al. 2014, appendix E.

    A lower bound in expectation that reaches log p(x) as `samples` grows. Warns where the weights of half of the images
    rest on fewer than 30 effective draws.

    Raises:
        ValueError: for fewer than two samples. UnsupportedError: the family has no likelihood.
    """
    if samples < 2:
        raise ValueError(f"samples={samples}: a standard error needs at least 2")
    model.check(x)
    was_training = model.training
    model.eval()
    images, decodes = AT_ONCE.get(x.device.type, AT_ONCE_ELSEWHERE)
    batches = bar(x.split(images), desc="log p(x)", unit="batch", show=progress)
    parts = [_importance_sample(model, batch, samples, generator, max(1, decodes // len(batch))) for batch in batches]
    model.train(was_training)
    value, error, effective = (torch.cat(part) for part in zip(*parts, strict=True))
    if samples > FEW and effective.median() < FEW:
        warnings.warn(
            f"log p(x): half of the images rest on {effective.median():.0f} effective draws or fewer, of {samples}; "
            "the standard error is too small then: refine q(z|x), or take the value as a bound",
            stacklevel=3,  # the caller: torch.no_grad stands between
        )
    kind = f"importance-weighted bound of {samples} draws" if model.tightens else "bound that no draws tighten"
    return Estimate(value, error, effective, kind)


def _importance_sample(
    model: LatentVariableModel, x: Tensor, samples: int, generator: torch.Generator | None, chunk: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Accumulates log sum w and log sum w^2 over chunks of samples."""
    first = second = torch.full((len(x),), -math.inf, dtype=x.dtype, device=x.device)
    try:
        q = model.posterior(x)
    except UnsupportedError:  # a family that has `log_weights` alone
        q = None
    for start in range(0, samples, chunk):
        log_w = model.log_weights(x, min(chunk, samples - start), generator, q)  # (S, B)
        first = torch.logaddexp(first, torch.logsumexp(log_w, 0))
        second = torch.logaddexp(second, torch.logsumexp(2 * log_w, 0))
    value = first - math.log(samples)
    relative_variance = torch.expm1(second - math.log(samples) - 2 * value).clamp(min=0)  # Var[w] / E[w]^2
    return value, (relative_variance / (samples - 1)).sqrt(), torch.exp(2 * first - second)


@torch.no_grad()
def summary(model: LatentVariableModel, x: Tensor, seed: int = 0) -> dict[str, float]:
    """The figures that a run records for one split: means over x (N, D), nats per image unless named otherwise.

    "bits_per_dim" is the bound -ELBO of the 256 grey levels, for likelihoods that are Gaussian or discretised. What the
    family cannot do is left out.
    """
    model.eval()  # in training an "optimal" sigma would be that of these very images
    figures: dict[str, float] = {}
    with suppress(UnsupportedError):
        figures |= _mean_terms(model, x, seed)
    levels = None
    with suppress(UnsupportedError, ConfigError):  # its likelihood is none of grey levels
        levels = model.discretised()
    if levels is not None:
        bound = _mean_terms(levels, x, seed)["elbo"]
        figures["bits_per_dim"] = float(bits_per_dim(bound, x.shape[1], density=False))
    with suppress(UnsupportedError):
        figures["squared_error"] = squared_error(model, x).double().mean().item()
        codes = torch.cat([model.codes(batch) for batch in x.split(BATCH)])
        figures["active_units"] = int((codes.var(0) > ACTIVE).sum()) if len(x) > 1 else 0
    return figures


def _mean_terms(model: LatentVariableModel, x: Tensor, seed: int) -> dict[str, float]:
    generator = torch.Generator(x.device).manual_seed(seed)
    batches = [model.terms(batch, generator) for batch in x.split(BATCH)]
    return {key: torch.cat([terms[key] for terms in batches]).double().mean().item() for key in batches[0]}
