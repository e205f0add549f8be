"""q(z|x): what a latent vector may be once an image is seen. Kingma & Welling 2013 is cited as K&W 2013."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Annotated, Literal, Protocol

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from vaelib.config import Config, ConfigError

__all__ = ["DiagonalGaussian", "FlowPosterior", "GaussianConfig", "IAFConfig", "PlanarConfig", "Posterior"]
__all__ += ["PosteriorConfig", "constrained", "gaussian_kl", "gaussian_log_prob", "make_flow", "normal", "planar"]
__all__ += ["reparameterise"]


class GaussianConfig(Config):
    """N(mean, diag sigma^2), the only posterior whose KL has a closed form."""

    kind = "name"
    name: Literal["gaussian"] = "gaussian"


class PlanarConfig(Config):
    """A `FlowPosterior` of so many `planar` steps; it needs kl="monte-carlo" in the objective."""

    kind = "name"
    name: Literal["planar"] = "planar"
    steps: PositiveInt = 10


class IAFConfig(Config):
    """A `FlowPosterior` of so many inverse autoregressive steps; it needs kl="monte-carlo" in the objective."""

    kind = "name"
    name: Literal["iaf"] = "iaf"
    transforms: PositiveInt = 2


PosteriorConfig = Annotated[GaussianConfig | PlanarConfig | IAFConfig, Field(discriminator="name")]
"""Which q(z|x) a model is trained with: the settings of one of the kinds."""


def normal(shape: Sequence[int], like: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Draws from N(0, I) of that shape, with the type of `like` and where it is."""
    return torch.randn(*shape, generator=generator, dtype=like.dtype, device=like.device)


def reparameterise(mean: Tensor, log_var: Tensor, samples: int = 1, generator: torch.Generator | None = None) -> Tensor:
    """z = mean + sigma * epsilon, epsilon ~ N(0, I): (B, Z), (B, Z) -> (samples, B, Z). K&W 2013, section 2.4."""
    return mean + torch.exp(0.5 * log_var) * normal((samples, *mean.shape), mean, generator)


def gaussian_kl(mean: Tensor, log_var: Tensor) -> Tensor:
    """KL(N(mean, e^log_var) || N(0, 1)) per dimension, nats: (B, Z), (B, Z) -> (B, Z). K&W 2013, appendix B.

    Near 0 it may be negative by the rounding of float32, 1e-7 or less.
    """
    return 0.5 * (mean.square() + log_var.exp() - 1 - log_var)


def gaussian_log_prob(z: Tensor, mean: Tensor, log_var: Tensor) -> Tensor:
    """log N(z; mean, diag e^log_var), summed over the last dimension, nats: (..., Z) -> (...)."""
    return -0.5 * ((z - mean).square() * torch.exp(-log_var) + log_var + math.log(2 * math.pi)).sum(-1)


class HasKL(Protocol):
    """A prior, as far as it is needed here."""

    def kl(self, mean: Tensor, log_var: Tensor) -> Tensor | None: ...


class Posterior(Protocol):
    """What the q(z|x) of a batch of B images offers, whatever its family."""

    def sample(self, samples: int = 1, generator: torch.Generator | None = None) -> Tensor:
        """Draws that gradients pass through: (samples, B, Z)."""

    def log_prob(self, z: Tensor) -> Tensor:
        """log q(z|x) of draws, nats: (samples, B, Z) -> (samples, B). A flow knows it of its latest draws alone."""

    def kl(self, prior: HasKL) -> Tensor | None:
        """KL(q(z|x) || p(z)) per dimension, nats, (B, Z), or None if it has no closed form."""


class DiagonalGaussian:
    """q(z|x) = N(mean, diag e^log_var), both (B, Z): the posterior of K&W 2013, equation 9."""

    def __init__(self, mean: Tensor, log_var: Tensor) -> None:
        self.mean, self.log_var = mean, log_var

    def sample(self, samples: int = 1, generator: torch.Generator | None = None) -> Tensor:
        return reparameterise(self.mean, self.log_var, samples, generator)

    def log_prob(self, z: Tensor) -> Tensor:
        return gaussian_log_prob(z, self.mean, self.log_var)

    def sample_with_log_prob(self, samples: int = 1, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """The draws of `sample` and their log q(z|x), nats: (samples, B, Z), (samples, B)."""
        z = self.sample(samples, generator)
        return z, self.log_prob(z)

    def kl(self, prior: HasKL) -> Tensor | None:
        return prior.kl(self.mean, self.log_var)

    @property
    def centre(self) -> Tensor:
        """The mean."""
        return self.mean

    def detach(self) -> DiagonalGaussian:
        """The same, which no gradient passes."""
        return DiagonalGaussian(self.mean.detach(), self.log_var.detach())


class FlowPosterior:
    """q(z|x) of z = f(z_0), z_0 drawn from the Gaussian `base`: log q(z|x) = log q_0(z_0|x) - log |det df/dz_0|.

    `flow` is f: (..., B, Z) -> z (..., B, Z) and log |det df/dz_0| (..., B), which may depend on x. Rezende & Mohamed
    2015, equation 13.
    """

    def __init__(self, base: DiagonalGaussian, flow: Callable[[Tensor], tuple[Tensor, Tensor]]) -> None:
        self.base, self.flow = base, flow
        self._drawn: tuple[Tensor, Tensor] | None = None

    def sample_with_log_prob(self, samples: int = 1, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """The draws of `sample` and their log q(z|x), nats: (samples, B, Z), (samples, B)."""
        z_0 = self.base.sample(samples, generator)
        z, log_det = self.flow(z_0)
        self._drawn = z, self.base.log_prob(z_0) - log_det
        return self._drawn

    def sample(self, samples: int = 1, generator: torch.Generator | None = None) -> Tensor:
        return self.sample_with_log_prob(samples, generator)[0]

    def log_prob(self, z: Tensor) -> Tensor:
        """That of the latest draws, which came with them, so that no flow has to be inverted.

        Raises:
            ValueError: `z` is not what `sample` returned last.
        """
        if self._drawn is None or z is not self._drawn[0]:
            raise ValueError("a flow knows log q(z|x) of its own latest draws alone: use sample_with_log_prob")
        return self._drawn[1]

    def kl(self, prior: HasKL) -> Tensor | None:
        return None

    @property
    def centre(self) -> Tensor:
        """Where the flow takes the mean of its Gaussian, which is not the mean of q(z|x)."""
        return self.flow(self.base.mean)[0]


def make_flow(config: Config, latent_dim: int, context: int) -> nn.Module | None:
    """The flow (h, z_0) -> (z, log |det dz/dz_0|) that `config` describes, or None for a Gaussian.

    h (B, `context`) is what the encoder makes of the images; z_0 is (..., B, Z).

    Raises:
        ConfigError: too few latents for this flow.
    """
    if isinstance(config, PlanarConfig):
        return PlanarFlow(latent_dim, config.steps, context)
    if isinstance(config, IAFConfig):
        return InverseAutoregressiveFlow(latent_dim, config.transforms, context)
    return None


def constrained(u: Tensor, w: Tensor) -> Tensor:
    """u moved along w so that w.u > -1, which keeps `planar` invertible: (..., Z) -> (..., Z).

    Rezende & Mohamed 2015, appendix A.1.
    """
    dot = (w * u).sum(-1, keepdim=True)
    return u + (F.softplus(dot) - 1 - dot) * w / w.square().sum(-1, keepdim=True)


def planar(z: Tensor, u: Tensor, w: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """z + u_hat tanh(w.z + b) with u_hat = constrained(u, w), and the log of its Jacobian's positive determinant.

    z, u, w (..., Z), b (..., 1) -> (..., Z), (...). Rezende & Mohamed 2015, equations 10 to 12.
    """
    t = torch.tanh((w * z).sum(-1, keepdim=True) + b)
    room = F.softplus((w * u).sum(-1, keepdim=True))  # 1 + w.u_hat
    return z + constrained(u, w) * t, torch.log(t.square() + (1 - t.square()) * room).squeeze(-1)


class PlanarFlow(nn.Module):
    """So many `planar` steps, whose u, w and b are linear in h: each image has a flow of its own."""

    def __init__(self, latent_dim: int, steps: int, context: int) -> None:
        super().__init__()
        self.sizes = [latent_dim, latent_dim, 1] * steps
        self.parts = nn.Linear(context, sum(self.sizes))

    def forward(self, h: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        parts, log_det = self.parts(h).split(self.sizes, -1), z.new_zeros(z.shape[:-1])
        for u, w, b in zip(parts[0::3], parts[1::3], parts[2::3], strict=True):
            z, step = planar(z, u, w, b)
            log_det = log_det + step
        return z, log_det


class InverseAutoregressiveFlow(nn.Module):
    """So many steps z_i -> z_i * scale_i + shift_i, both functions of z_1 ... z_(i-1) and h. Kingma et al. 2016.

    A masked autoregressive flow run from the noise to the code: one pass draws, and only its inverse, which nobody
    needs here, would take Z passes. The order of the latents turns round from one step to the next.
    """

    def __init__(self, latent_dim: int, transforms: int, context: int, width: int = 64) -> None:
        from zuko.flows import MAF

        super().__init__()
        if latent_dim < 2:
            raise ConfigError("an autoregressive flow needs latent_dim=2 or more: with one it is a Gaussian")
        self.flow = MAF(latent_dim, context, transforms=transforms, hidden_features=(width, width))

    def forward(self, h: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        return self.flow.transform(h).call_and_ladj(z)
