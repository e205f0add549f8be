"""Generative adversarial networks: a generator that draws images, and a critic that learns to tell them from data."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import softplus

from vaelib.config import ConfigError
from vaelib.models.base import LatentVariableModel, ModelConfig, Objective, binarised, mlp, must_fit
from vaelib.objectives import Loss
from vaelib.priors import StandardNormal

__all__ = ["GAN", "Critic", "GANConfig", "GANObjective", "Generator", "losses_of_scores"]

DARK = 0.02  # pixels that are darker on average, or as bright, count as this: their logits are finite
FLAT = 1e-3  # the least standard deviation that pixels are divided by

GameName = Literal["minimax", "non-saturating", "relativistic"]


class GANConfig(ModelConfig):
    """The networks' shape. `hidden` lists the generator's layers; the critic mirrors them."""

    family: Literal["gan"] = "gan"
    latent_dim: PositiveInt = 20
    hidden: tuple[PositiveInt, ...] = (500, 500)
    activation: Literal["tanh", "relu", "silu"] = "silu"


class GANObjective(Objective):
    """The game. With critic scores D, logits that are high for data:

    - "minimax" and "non-saturating": the critic minimises softplus(-D(x)) + softplus(D(G(z))); the generator maximises
      it, or minimises softplus(-D(G(z))) instead (Goodfellow et al. 2014, section 3).
    - "relativistic": the critic minimises softplus(D(G(z)) - D(x)), pair by pair, the generator the same with x and
      G(z) exchanged (Jolicoeur-Martineau 2019).

    `gamma` weighs the critic's two zero-centred penalties, gamma/2 (|grad D(x)|^2 + |grad D(G(z))|^2), R1 and R2; with
    them the relativistic game is that of Huang et al. 2024, section 2. Slopes are taken by what the
    critic sees, pixels of standard deviation 1: gamma does not depend on how much images differ.

    Where the players circle, optimiser="adam-no-momentum" may help: old gradients answer an opponent who has moved on.
    """

    loss: GameName = "relativistic"
    gamma: float = Field(default=1.0, ge=0)

    @model_validator(mode="after")
    def _check(self) -> GANObjective:
        if self.loss == "relativistic" and not self.gamma:
            raise ConfigError(
                "gamma=0 with loss='relativistic': without its penalties this game need not converge; give gamma a "
                "positive value such as 1, or choose loss='non-saturating'"
            )
        return self

    @property
    def settled_epochs(self) -> float:
        """Never: each player's loss depends on how good the other is."""
        return math.inf


class Generator(nn.Module):
    """G(z), pixels in [0, 1]: (..., Z) -> (..., D)."""

    def __init__(self, pixels: int, config: GANConfig) -> None:
        super().__init__()
        self.body, width = mlp(config.latent_dim, config.hidden, config.activation)
        self.logits = nn.Linear(width, pixels)

    def forward(self, z: Tensor) -> Tensor:
        return torch.sigmoid(self.logits(self.body(z)))


class Critic(nn.Module):
    """D(x), a score for each image: (B, D) -> (B,).

    It sees how images differ from their average, in units of the pixels' standard deviation: both are buffers that
    `GAN.start` sets. On bare pixels the average drowns what differs.
    """

    centre: Tensor
    scale: Tensor

    def __init__(self, pixels: int, config: GANConfig) -> None:
        super().__init__()
        self.body, width = mlp(pixels, config.hidden[::-1], config.activation)
        self.score = nn.Linear(width, 1)
        self.register_buffer("centre", torch.zeros(pixels))
        self.register_buffer("scale", torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        return self.score(self.body((x - self.centre) / self.scale)).squeeze(-1)


class GAN(LatentVariableModel):
    """x = G(z) with z from `prior`, and the critic D that taught G; no likelihood, and no way from x back to z."""

    family, Settings, Objective = "gan", GANConfig, GANObjective
    config: GANConfig

    def __init__(self, config: GANConfig, image_shape: Sequence[int]) -> None:
        super().__init__(config, image_shape)
        layers = (config.latent_dim, *config.hidden, self.pixels)  # the critic has about as many
        must_fit(f"{self.pixels:,} pixels, hidden={config.hidden} and latent_dim={config.latent_dim}", layers, layers)
        self.prior = StandardNormal(config.latent_dim)
        self.generator, self.critic = Generator(self.pixels, config), Critic(self.pixels, config)

    def check(self, x: Tensor) -> None:
        super().check(x)
        low, high = x.min().item(), x.max().item()
        if not (low >= 0 and high <= 1):
            raise ValueError(f"pixels must lie in [0, 1], as a generator's do; these go from {low:.9g} to {high:.9g}")

    @torch.no_grad()
    def start(self, x: Tensor) -> None:
        """The generator draws the average of x where its hidden units are 0; the critic sees differences from it."""
        mean = x.mean(0)
        self.generator.logits.bias.copy_(torch.logit(mean.clamp(DARK, 1 - DARK)))
        self.critic.centre.copy_(mean)
        self.critic.scale.copy_((x - mean).square().mean().sqrt().clamp(min=FLAT))

    def generate(self, z: Tensor) -> Tensor:
        """G(z), the pictures of codes: (..., Z) -> (..., D)."""
        if z.shape[-1] != self.config.latent_dim:
            raise ValueError(f"z has shape {tuple(z.shape)}: expected (..., {self.config.latent_dim})")
        return self.generator(z)

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        return self.generate(self.prior.sample(n, generator))

    def penalised(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """D(x) and |grad D|^2 by what the critic sees of x: (B, D) -> (B,), (B,).

        Both can be differentiated by the critic's weights where gradients are on.
        """
        differentiable = torch.is_grad_enabled()
        with torch.enable_grad():  # the penalty of held-out images takes a gradient, too
            x = x.detach().requires_grad_()
            scores = self.critic(x)
            (slope,) = torch.autograd.grad(scores.sum(), x, create_graph=differentiable)
        return scores, self.critic.scale.square() * slope.square().sum(-1)

    def losses(self, objective: GANObjective, *, binarise: bool = False) -> list[tuple[list[nn.Parameter], Loss]]:
        """The critic's turn and the generator's.

        "real" and "fake" are the critic's scores of an image and of a sample, "penalty" is R1 + R2, not yet weighed.
        """

        def criticise(x: Tensor, epoch: float, generator: torch.Generator | None) -> dict[str, Tensor]:
            x = binarised(x, generator) if binarise else x
            both = torch.cat([x, self.sample(len(x), generator)])
            if objective.gamma:
                scores, steepness = self.penalised(both)
            else:
                scores, steepness = self.critic(both), torch.zeros_like(both[:, 0])
            (real, fake), penalty = scores.chunk(2), torch.stack(steepness.chunk(2)).sum(0)
            loss = losses_of_scores(objective.loss, real, fake)[0] + objective.gamma / 2 * penalty
            return {"loss": loss, "real": real, "fake": fake, "penalty": penalty}

        def generate(x: Tensor, epoch: float, generator: torch.Generator | None) -> dict[str, Tensor]:
            x = binarised(x, generator) if binarise else x
            z = self.prior.sample(len(x), generator)
            resting = {name: weight.detach() for name, weight in self.critic.named_parameters()}  # takes no gradient
            real, fake = functional_call(self.critic, resting, torch.cat([x, self.generator(z)])).chunk(2)
            return {"loss": losses_of_scores(objective.loss, real, fake)[1]}

        return [(list(self.critic.parameters()), criticise), (list(self.generator.parameters()), generate)]


def losses_of_scores(loss: GameName, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
    """What critic and generator minimise, nats, from the critic's scores of images and samples, all (B,).

    softplus(-D) is -log sigmoid(D), and sigmoid(D) the critic's probability that what it sees is data.
    """
    if loss == "relativistic":
        return softplus(fake - real), softplus(real - fake)
    critic = softplus(-real) + softplus(fake)
    return critic, -critic if loss == "minimax" else softplus(-fake)
