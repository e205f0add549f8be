"""Hierarchies of latents: z_L from the prior, each level from the one above, the image from z_1; and their posterior.

Levels are numbered from the pixels upwards, and stand in that order in every list and in every row of codes.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Literal, NamedTuple, cast

import torch
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor, nn

from vaelib import objectives
from vaelib.config import ConfigError
from vaelib.likelihoods import LikelihoodConfig, make_likelihood
from vaelib.models.base import Autoencoder, ModelConfig, Objective, binarised, mlp, must_fit
from vaelib.objectives import Loss
from vaelib.posteriors import DiagonalGaussian, Posterior, gaussian_kl, gaussian_log_prob, reparameterise
from vaelib.priors import Prior, PriorConfig, StandardNormalConfig, make_prior

__all__ = ["BottomUp", "HierarchicalConfig", "HierarchicalObjective", "HierarchicalVAE", "Ladder", "Levels"]
__all__ += ["Conditional", "LevelPrior", "LevelsPosterior", "merged"]


class HierarchicalConfig(ModelConfig):
    """The levels, and the networks between them. `latents` numbers those of each level, that next to the pixels first.

    All networks have the layers `hidden`, in this order on the way up and reversed on the way down. `inference`
    "bottom-up" draws z_1 from the image and each further level from the one below it; "ladder" draws from the top
    down, and joins what the image says of a level with what the level above does (see `BottomUp` and `Ladder`).
    `batch_norm` normalises every layer but the outputs. `prior` is that of the top level. One level makes a VAE.
    """

    family: Literal["hierarchical"] = "hierarchical"
    latents: tuple[PositiveInt, ...] = Field(default=(20, 20), min_length=1, max_length=9)
    hidden: tuple[PositiveInt, ...] = (300, 300)
    activation: Literal["tanh", "relu", "silu", "identity"] = "silu"
    inference: Literal["bottom-up", "ladder"] = "ladder"
    batch_norm: bool = False
    likelihood: LikelihoodConfig = LikelihoodConfig()
    prior: PriorConfig = StandardNormalConfig()

    @model_validator(mode="after")
    def _check(self) -> HierarchicalConfig:
        if self.prior.name == "vamp":
            raise ConfigError(
                "prior.name='vamp' needs an encoder from pixels to the top level, and the levels below stand between: "
                "use 'standard-normal' or 'flow'"
            )
        return self


class HierarchicalObjective(Objective):
    """The ELBO, with `samples` draws for each image.

    `kl` "analytic" takes the divergence of a level in closed form where there is one, given the draws of the levels
    before it: for all of a ladder's (that of the top, if its prior is a standard normal), and for the top alone in
    bottom-up inference. All else is averaged over the draws. The weight of all levels grows linearly from 0 to 1 over
    the first `warmup_epochs`; `free_bits` is the KL in nats that each level has for nothing.
    """

    samples: PositiveInt = 1
    kl: objectives.KL = "analytic"
    warmup_epochs: float = Field(default=0.0, ge=0)
    free_bits: float = Field(default=0.0, ge=0)

    @property
    def settled_epochs(self) -> int:
        return math.ceil(self.warmup_epochs)


class LevelPrior:
    """p(z_l | z_{l+1}) = N(mean, diag e^log_var), both (..., Z_l): what the level above says."""

    def __init__(self, mean: Tensor, log_var: Tensor) -> None:
        self.mean, self.log_var = mean, log_var

    def log_prob(self, z: Tensor) -> Tensor:
        return gaussian_log_prob(z, self.mean, self.log_var)

    def kl(self, mean: Tensor, log_var: Tensor) -> Tensor:
        """KL(N(mean, e^log_var) || this) per dimension, nats: that to N(0, 1) where this is moved and scaled to it."""
        return gaussian_kl((mean - self.mean) * torch.exp(-0.5 * self.log_var), log_var - self.log_var)


def merged(evidence: DiagonalGaussian, prior: LevelPrior) -> DiagonalGaussian:
    """The product of two Gaussians, normalised: their precisions add, and weigh their means.

    Sonderby et al. 2016, section 2: the posterior of a level, given what the image says of it and what the level
    above does.
    """
    weight = torch.sigmoid(prior.log_var - evidence.log_var)  # the evidence's share of the precision
    return DiagonalGaussian(
        torch.lerp(prior.mean, evidence.mean, weight), -torch.logaddexp(-prior.log_var, -evidence.log_var)
    )


class Conditional(nn.Module):
    """A Gaussian given what lies before it, by layers of those `widths`: (..., inputs) -> mean, log_var (..., Z)."""

    def __init__(self, widths: Sequence[int], config: HierarchicalConfig) -> None:
        super().__init__()
        self.body, width = mlp(widths[0], widths[1:-1], config.activation, batch_norm=config.batch_norm)
        self.outputs = nn.Linear(width, widths[-1])

    def read(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance from what the body gives."""
        mean, log_var = self.outputs(h).chunk(2, dim=-1)
        return mean, log_var

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.read(self.body(x))


class Levels(NamedTuple):
    """A list for each: codes `z`, (S, B, Z_l); the `q` that they come from; and `p`, what they cost by the prior."""

    z: list[Tensor]
    q: list[DiagonalGaussian]
    p: list[LevelPrior | Prior]


Choice = Callable[[int, DiagonalGaussian], Tensor]
"""Says which code a level has, by its number (from 0) and its q."""


class LevelsPosterior(ABC):
    """q(z_1, ..., z_L | x) of a batch of images; as one `Posterior` its codes are those of all levels side by side."""

    def __init__(self, model: HierarchicalVAE) -> None:
        self.model = model

    @abstractmethod
    def walk(self, choose: Choice) -> Levels:
        """Goes from level to level in the order of inference; what `choose` says of one, the next depends on."""

    def draw(self, samples: int = 1, generator: torch.Generator | None = None) -> Levels:
        """Draws that gradients pass through, `samples` for each image."""

        def choose(level: int, q: DiagonalGaussian) -> Tensor:
            first = q.mean.dim() == 2  # (B, Z); what depends on draws is (S, B, Z) already
            return q.sample(samples, generator) if first else q.sample(1, generator).squeeze(0)

        return self.walk(choose)

    def means(self) -> list[Tensor]:
        """The mean of each level, (B, Z_l), given those of the levels before it."""
        return self.walk(lambda level, q: q.mean).z

    def sample(self, samples: int = 1, generator: torch.Generator | None = None) -> Tensor:
        return torch.cat(self.draw(samples, generator).z, dim=-1)

    def log_prob(self, z: Tensor) -> Tensor:
        codes = self.model.split(z)
        found = self.walk(lambda level, q: codes[level])
        return torch.stack([q.log_prob(code) for q, code in zip(found.q, codes, strict=True)]).sum(0)

    def kl(self, prior: object) -> Tensor | None:
        """None: as a whole it has no closed form."""
        return None


class BottomUp(LevelsPosterior):
    """q(z_1|x) q(z_2|z_1) ... q(z_L|z_{L-1}), as in Burda et al. 2016, section 2."""

    def __init__(self, model: HierarchicalVAE, x: Tensor) -> None:
        super().__init__(model)
        self.first = DiagonalGaussian(*model.up[0](x))

    def walk(self, choose: Choice) -> Levels:
        q = [self.first]
        z = [choose(0, self.first)]
        for level in range(1, len(self.model.up)):
            q.append(DiagonalGaussian(*self.model.up[level](z[-1])))
            z.append(choose(level, q[-1]))
        p = [LevelPrior(*network(above)) for network, above in zip(self.model.down, z[1:], strict=True)]
        return Levels(z, q, [*p, self.model.prior])


class Ladder(LevelsPosterior):
    """q(z_L|x) q(z_{L-1}|z_L, x) ... q(z_1|z_2, x), each `merged`: Sonderby et al. 2016, section 2.

    A pass upwards without any draw finds the evidence of all levels; the draws are made on the way down.
    """

    def __init__(self, model: HierarchicalVAE, x: Tensor) -> None:
        super().__init__(model)
        self.evidence, h = [], x
        for network in cast("Sequence[Conditional]", model.up):
            h = network.body(h)
            self.evidence.append(DiagonalGaussian(*network.read(h)))

    def walk(self, choose: Choice) -> Levels:
        top = len(self.evidence) - 1
        q, z = [self.evidence[top]], [choose(top, self.evidence[top])]
        p: list[LevelPrior | Prior] = [self.model.prior]
        for level in reversed(range(top)):  # the top first; turned round at the end
            above = LevelPrior(*self.model.down[level](z[-1]))
            p.append(above)
            q.append(merged(self.evidence[level], above))
            z.append(choose(level, q[-1]))
        return Levels(z[::-1], q[::-1], p[::-1])


class HierarchicalVAE(Autoencoder):
    """p(z_L) p(z_{L-1}|z_L) ... p(z_1|z_2) p(x|z_1), with its approximate posterior; `prior` is p(z_L)."""

    family, Settings, Objective = "hierarchical", HierarchicalConfig, HierarchicalObjective
    config: HierarchicalConfig

    def __init__(self, config: HierarchicalConfig, image_shape: Sequence[int]) -> None:
        super().__init__(config, image_shape)
        self.likelihood = make_likelihood(config.likelihood)
        hidden, z = config.hidden, config.latents
        width = (hidden or (self.pixels,))[-1]
        below = [self.pixels, *(z[:-1] if config.inference == "bottom-up" else [width] * (len(z) - 1))]
        ups = [(before, *hidden, 2 * level) for before, level in zip(below, z, strict=True)]
        downs = [(above, *hidden[::-1], 2 * level) for level, above in pairwise(z)]
        outputs = self.likelihood.heads * self.pixels
        must_fit(
            f"{self.pixels:,} pixels, hidden={hidden} and latents={z}", *ups, *downs, (z[0], *hidden[::-1], outputs)
        )
        self.up = nn.ModuleList(Conditional(widths, config) for widths in ups)
        self.down = nn.ModuleList(Conditional(widths, config) for widths in downs)
        body, width = mlp(z[0], hidden[::-1], config.activation, batch_norm=config.batch_norm)
        self.decoder = nn.Sequential(body, nn.Linear(width, outputs))
        self.prior = make_prior(config.prior, z[-1], self.pixels, self.up[-1])

    def split(self, codes: Tensor) -> list[Tensor]:
        """The codes of each level: (..., Z_1 + ... + Z_L) -> (..., Z_1), ..., (..., Z_L)."""
        if codes.shape[-1] != sum(self.config.latents):
            raise ValueError(f"codes have shape {tuple(codes.shape)}: expected (..., {sum(self.config.latents)})")
        return list(codes.split(self.config.latents, dim=-1))

    def posterior(self, x: Tensor) -> LevelsPosterior:
        self.must_be_images(x)
        return Ladder(self, x) if self.config.inference == "ladder" else BottomUp(self, x)

    def log_weights(
        self, x: Tensor, samples: int, generator: torch.Generator | None = None, posterior: Posterior | None = None
    ) -> Tensor:
        q = cast(LevelsPosterior, posterior or self.posterior(x))
        found = q.draw(samples, generator)
        return self.likelihood.log_prob(x, self.decode(found.z[0])) - self._divergences(found, "monte-carlo").sum(0)

    def _divergences(self, found: Levels, kl: objectives.KL) -> Tensor:
        """log q - log p of each level at its draws, or where asked for and known its mean: (L, S, B).

        Bottom-up, z_l and the p that it is held against are drawn together: only the top's mean is known.
        """
        parts = []
        for z, q, p in zip(*found, strict=True):
            closed = kl == "analytic" and (self.config.inference == "ladder" or isinstance(p, Prior))
            known = q.kl(p) if closed else None
            part = q.log_prob(z) - p.log_prob(z) if known is None else known.sum(-1)
            parts.append(part.expand(z.shape[:-1]))
        return torch.stack(parts)

    def terms(self, x: Tensor, generator: torch.Generator | None = None) -> dict[str, Tensor]:
        """ "elbo", "reconstruction" and "kl", and its parts by level, "kl_1" to "kl_L".

        A ladder's parts are expected divergences, E KL(q(z_l|x, z_{l+1}) || p(z_l|z_{l+1})). Bottom-up they are
        E[log q(z_l|z_{l-1}) - log p(z_l|z_{l+1})], which only for the top is a divergence: others may be negative.
        """
        return self._terms(x, HierarchicalObjective(), generator)[0]

    def _terms(
        self, x: Tensor, objective: HierarchicalObjective, generator: torch.Generator | None
    ) -> tuple[dict[str, Tensor], Tensor]:
        """The terms, and those by level once more, (B, L)."""
        found = self.posterior(x).draw(objective.samples, generator)
        reconstruction = self.likelihood.log_prob(x, self.decode(found.z[0])).mean(0)
        levels = self._divergences(found, objective.kl).mean(1).T
        kl = levels.sum(-1)
        by_level = {f"kl_{number}": part for number, part in enumerate(levels.unbind(-1), start=1)}
        return {"elbo": reconstruction - kl, "reconstruction": reconstruction, "kl": kl, **by_level}, levels

    def losses(
        self, objective: HierarchicalObjective, *, binarise: bool = False
    ) -> list[tuple[list[nn.Parameter], Loss]]:
        """One pair. All figures but "loss" are those of the true bound, whatever warm-up and free bits make of it."""

        def bound(x: Tensor, epoch: float, generator: torch.Generator | None) -> dict[str, Tensor]:
            x = binarised(x, generator) if binarise else x
            terms, levels = self._terms(x, objective, generator)
            penalty = objectives.free_bits_kl(levels, objective.free_bits) if objective.free_bits else terms["kl"]
            beta = objectives.beta_at(epoch, 1.0, objective.warmup_epochs)
            return {"loss": beta * penalty - terms["reconstruction"], **terms}

        return [(list(self.parameters()), bound)]

    @torch.no_grad()
    def reconstruct(self, x: Tensor) -> Tensor:
        """E[x|z_1] at the posterior's mean: (B, D) -> (B, D)."""
        return self.mean_image(self.posterior(x).means()[0])

    @torch.no_grad()
    def codes(self, x: Tensor) -> Tensor:
        """The posterior's means of all levels side by side, see `split`: (B, D) -> (B, Z_1 + ... + Z_L)."""
        return torch.cat(self.posterior(x).means(), dim=-1)

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator | None = None, *, noise: bool = False) -> Tensor:
        """n images from the model, (n, D): their means E[x|z_1], or with `noise` a draw from p(x|z_1) itself."""
        return self.decode_from(len(self.config.latents), self.prior.sample(n, generator), generator, noise=noise)

    @torch.no_grad()
    def decode_from(
        self, level: int, z: Tensor, generator: torch.Generator | None = None, *, noise: bool = False
    ) -> Tensor:
        """Images of codes of one level, from 1 to L; the levels below it are drawn: (n, Z_level) -> (n, D).

        With generators of the same seed the levels below have the same noise, whatever the codes.
        """
        latents = self.config.latents
        if not 1 <= level <= len(latents) or z.shape[-1] != latents[level - 1]:
            raise ValueError(
                f"level={level} and z of shape {tuple(z.shape)}: levels go from 1 to {len(latents)}, their latents are "
                f"{latents}"
            )
        for network in reversed(self.down[: level - 1]):
            mean, log_var = network(z)
            z = reparameterise(mean, log_var, 1, generator).squeeze(0)
        outputs = self.decode(z)
        return self.likelihood.sample(outputs, generator) if noise else self.likelihood.mean(outputs)
