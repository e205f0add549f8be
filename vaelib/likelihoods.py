"""p(x|z): how likely an image is, given what the decoder says.

A likelihood reads the decoder's raw outputs, `heads` of them per pixel, and knows nothing of networks. All of them
return log p(x|z) in nats, summed over the pixels. Images are pixels in [0, 1]; an 8-bit level is pixel * 255.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as F

from vaelib.config import Config, ConfigError

__all__ = ["HALF_LEVEL", "Bernoulli", "Discretised", "Gaussian", "Likelihood", "LikelihoodConfig", "make_likelihood"]

HALF_LEVEL = 0.5 / 255
"""Half of one grey level of 8-bit data, on the scale where black is 0 and white is 1."""

NEARLY = 1e-3  # as near to 0 and 1 as a mean comes whose logit is asked for


class LikelihoodConfig(Config):
    """Which p(x|z), and what is known of its width.

    `sigma` says who sets the standard deviation (the scale s, for the discretised logistic): "fixed" keeps
    `sigma_value`; "shared" learns one value for all pixels, from `sigma_value` on; "per-pixel" lets the decoder say by
    which factor that of each pixel of each image differs from `sigma_value`; "optimal" is the closed form that fits the
    current errors best. None goes below `sigma_floor`, by default half a grey level: below it a density of 8-bit data
    grows without bound.
    """

    name: Literal["bernoulli", "gaussian", "discretised-logistic", "discretised-gaussian"] = "bernoulli"
    mean: Literal["sigmoid", "identity"] = "sigmoid"
    sigma: Literal["fixed", "shared", "per-pixel", "optimal"] = "shared"
    sigma_value: float = Field(default=0.3, gt=0)
    sigma_floor: float = Field(default=HALF_LEVEL, gt=0)

    @model_validator(mode="after")
    def _check(self) -> LikelihoodConfig:
        if self.sigma_value < self.sigma_floor:
            raise ConfigError(f"sigma_value={self.sigma_value} lies below sigma_floor={self.sigma_floor}: raise it")
        if self.name.startswith("discretised") and self.sigma == "optimal":
            raise ConfigError(f"sigma='optimal' has no closed form for {self.name!r}: use 'shared'")
        return self


class Likelihood(nn.Module, ABC):
    """What every likelihood offers. D is the number of pixels; leading dimensions broadcast."""

    heads: int
    """Decoder outputs per pixel: the decoder's last layer is heads * D wide."""

    @abstractmethod
    def log_prob(self, x: Tensor, outputs: Tensor) -> Tensor:
        """log p(x|z) in nats, summed over pixels: x (..., D), outputs (..., heads * D) -> (...)."""

    @abstractmethod
    def mean(self, outputs: Tensor) -> Tensor:
        """E[x|z]: (..., heads * D) -> (..., D)."""

    @abstractmethod
    def outputs_for(self, mean: Tensor) -> Tensor:
        """The outputs that `mean` makes this of, but for any of sigma; 0 and 1 are nearly so: (..., D) -> (..., D)."""

    @abstractmethod
    def sample(self, outputs: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """One draw of x from p(x|z): (..., heads * D) -> (..., D)."""

    @abstractmethod
    def variance(self, outputs: Tensor) -> Tensor:
        """Var[x|z] of each pixel: (..., heads * D) -> (..., D), or () if all pixels share it."""

    def discretised(self) -> Discretised:
        """The same with the density of a pixel integrated over the bin of each of 256 grey levels.

        What it gives is a probability, and so an honest number of bits per dimension.

        Raises:
            ConfigError: it is no density of grey pixels.
        """
        raise ConfigError(f"likelihood {type(self).__name__!r} cannot be discretised: only 'gaussian' can")

    def check(self, x: Tensor) -> None:
        """Raises a ValueError if images like `x` (N, D) cannot be drawn from this likelihood."""
        low, high = x.min().item(), x.max().item()
        if not (low >= 0 and high <= 1):  # also catches NaN
            raise ValueError(
                f"pixels must lie in [0, 1]; these go from {low:.9g} to {high:.9g}: divide 8-bit images by 255"
            )


def make_likelihood(config: LikelihoodConfig) -> Likelihood:
    """The likelihood that `config` describes."""
    if config.name == "bernoulli":
        return Bernoulli()
    if config.name == "gaussian":
        return Gaussian(config)
    return Discretised(config)


class Bernoulli(Likelihood):
    """Each pixel is a coin: log p(x|z) = sum_i x_i log y_i + (1 - x_i) log(1 - y_i), with y = sigmoid(outputs).

    Kingma & Welling 2013, equation 11. For grey x the same expression is a cross-entropy and no likelihood of x: it
    lacks the normaliser over [0, 1].
    """

    heads = 1

    def log_prob(self, x: Tensor, outputs: Tensor) -> Tensor:
        return (x * outputs - F.softplus(outputs)).sum(-1)  # the same in logits: log y = outputs + log(1 - y)

    def mean(self, outputs: Tensor) -> Tensor:
        return torch.sigmoid(outputs)

    def outputs_for(self, mean: Tensor) -> Tensor:
        return torch.logit(mean, NEARLY)

    def sample(self, outputs: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return torch.bernoulli(torch.sigmoid(outputs), generator=generator)

    def variance(self, outputs: Tensor) -> Tensor:
        mean = self.mean(outputs)
        return mean * (1 - mean)


class _Scaled(Likelihood):
    """What the likelihoods with a mean and a width share: where both come from."""

    log_variance: Tensor

    def __init__(self, config: LikelihoodConfig) -> None:
        super().__init__()
        self.config = config
        self.heads = 2 if config.sigma == "per-pixel" else 1
        start = torch.tensor(2 * math.log(config.sigma_value))
        if config.sigma == "shared":
            self.log_variance = nn.Parameter(start)
        else:
            self.register_buffer("log_variance", start)

    def mean(self, outputs: Tensor) -> Tensor:
        centre = outputs.chunk(self.heads, dim=-1)[0]
        return torch.sigmoid(centre) if self.config.mean == "sigmoid" else centre

    def outputs_for(self, mean: Tensor) -> Tensor:
        return torch.logit(mean, NEARLY) if self.config.mean == "sigmoid" else mean

    def log_var(self, outputs: Tensor) -> Tensor:
        """log sigma^2, () or (..., D); floored smoothly, so that the gradient never dies: sigma^2 = floor^2 + e^s."""
        if self.config.sigma == "fixed":
            return self.log_variance
        raw = self.log_variance
        if self.config.sigma == "per-pixel":
            raw = raw + outputs.chunk(2, dim=-1)[1]
        return torch.logaddexp(raw, raw.new_tensor(2 * math.log(self.config.sigma_floor)))


class Gaussian(_Scaled):
    """log p(x|z) = sum_i log N(x_i; mean_i, sigma^2), Kingma & Welling 2013, equation 12.

    With sigma "optimal" the variance is the mean squared error itself (the sigma-VAE of Rybkin et al. 2021): in
    training that of the batch, while the average over recent batches is kept for evaluation.
    """

    momentum = 0.01  # at least: the first batches are averaged evenly
    batches: Tensor

    def __init__(self, config: LikelihoodConfig) -> None:
        super().__init__(config)
        if config.sigma == "optimal":
            self.register_buffer("batches", torch.zeros(()))

    def log_prob(self, x: Tensor, outputs: Tensor) -> Tensor:
        error = (x - self.mean(outputs)).square()
        log_var = self._optimal_log_var(error) if self.config.sigma == "optimal" else self.log_var(outputs)
        pixels = error.shape[-1]
        if log_var.dim() == 0:  # one width for all pixels: sum the errors first, scale once
            return -0.5 * (error.sum(-1) * torch.exp(-log_var) + pixels * (log_var + math.log(2 * math.pi)))
        return -0.5 * (error * torch.exp(-log_var) + log_var + math.log(2 * math.pi)).sum(-1)

    def _optimal_log_var(self, error: Tensor) -> Tensor:
        if not self.training:
            return self.log_variance
        log_var = error.mean().clamp(min=self.config.sigma_floor**2).log()
        self.batches += 1
        weight = self.batches.reciprocal().clamp(min=self.momentum)
        self.log_variance.copy_(torch.lerp(self.log_variance, log_var.detach(), weight))
        return log_var

    def sample(self, outputs: Tensor, generator: torch.Generator | None = None) -> Tensor:
        mean = self.mean(outputs)
        return mean + self.sigma(outputs) * _randn_like(mean, generator)

    def sigma(self, outputs: Tensor) -> Tensor:
        """The standard deviation of a pixel: () if all share it, else (..., D)."""
        log_var = self.log_variance if self.config.sigma == "optimal" else self.log_var(outputs)
        return torch.exp(0.5 * log_var)

    def variance(self, outputs: Tensor) -> Tensor:
        return self.sigma(outputs).square()

    def check(self, x: Tensor) -> None:
        """A mean without a sigmoid reaches all numbers: then any will do, such as centred pixels."""
        if self.config.mean == "sigmoid":
            super().check(x)
        elif not torch.isfinite(x).all():
            raise ValueError("pixels must be finite numbers; these hold nan or infinite ones")

    def discretised(self) -> Discretised:
        sigma = "fixed" if self.config.sigma == "optimal" else self.config.sigma
        twin = Discretised(self.config.replace(name="discretised-gaussian", sigma=sigma))
        twin.load_state_dict({"log_variance": self.log_variance})
        return twin.to(self.log_variance.device)


class Discretised(_Scaled):
    """P(x|z) of the 256 grey levels: a logistic or a Gaussian integrated over each level's bin.

    P(level k) = F((k + 1/2) / 255) - F((k - 1/2) / 255), where the outermost bins reach to infinity; F is the
    distribution function with the decoder's mean and width. A probability, not a density: it is at most 1, and
    -log2 P / D is an honest number of bits per dimension (Kingma et al. 2016, appendix; Salimans et al. 2017).
    """

    def __init__(self, config: LikelihoodConfig) -> None:
        super().__init__(config)
        self._log_areas = _logistic_areas if config.name.endswith("logistic") else _normal_areas

    def log_prob(self, x: Tensor, outputs: Tensor) -> Tensor:
        mean, inverse = self.mean(outputs), torch.exp(-0.5 * self.log_var(outputs))
        below, inside, above = self._log_areas((x - mean) * inverse, HALF_LEVEL * inverse)
        return torch.where(x < HALF_LEVEL, below, torch.where(x > 1 - HALF_LEVEL, above, inside)).sum(-1)

    def sample(self, outputs: Tensor, generator: torch.Generator | None = None) -> Tensor:
        mean = self.mean(outputs)
        width = torch.exp(0.5 * self.log_var(outputs))
        if self.config.name.endswith("logistic"):
            noise = torch.logit(_rand_like(mean, generator).clamp(1e-6, 1 - 1e-6))
        else:
            noise = _randn_like(mean, generator)
        return (mean + width * noise).mul(255).round().clamp(0, 255) / 255

    def variance(self, outputs: Tensor) -> Tensor:
        logistic = self.config.name.endswith("logistic")
        return torch.exp(self.log_var(outputs)) * (math.pi**2 / 3 if logistic else 1.0)

    def discretised(self) -> Discretised:
        return self

    def check(self, x: Tensor) -> None:
        super().check(x)
        off = (x * 255 - (x * 255).round()).abs().max().item()
        if off > 1e-2:
            raise ValueError(
                f"{self.config.name!r} needs pixels on the 256 grey levels k/255; the furthest lies {off:.2g} of a "
                "level off: round the images, or use name='gaussian'"
            )


def _logistic_areas(centre: Tensor, half: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """log of F(u), F(u) - F(l) and 1 - F(l) of the standard logistic F, where u and l are centre +- half.

    F(u) - F(l) = F(u) (1 - F(l)) (1 - e^(l - u)): no difference of near numbers, and its last factor knows no centre.
    """
    below, above = F.logsigmoid(half + centre), F.logsigmoid(half - centre)
    return below, below + above + _log1mexp(2 * half), above


def _normal_areas(centre: Tensor, half: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The same of the standard normal; bins above its mean are mirrored, to take the difference in the lower tail."""
    log_cdf = torch.special.log_ndtr
    mirrored = -centre.abs()
    log_upper, log_lower = log_cdf(mirrored + half), log_cdf(mirrored - half)
    return log_cdf(centre + half), log_upper + _log1mexp(log_upper - log_lower), log_cdf(half - centre)


def _log1mexp(a: Tensor) -> Tensor:
    """log(1 - exp(-a)) for a > 0, precise at both ends (Maechler 2012)."""
    small = a < math.log(2)
    near_zero = torch.log(-torch.expm1(-torch.where(small, a, 1.0)))
    return torch.where(small, near_zero, torch.log1p(-torch.exp(-torch.where(small, 1.0, a))))


def _randn_like(x: Tensor, generator: torch.Generator | None) -> Tensor:
    return torch.randn(x.shape, generator=generator, dtype=x.dtype, device=x.device)


def _rand_like(x: Tensor, generator: torch.Generator | None) -> Tensor:
    return torch.rand(x.shape, generator=generator, dtype=x.dtype, device=x.device)
