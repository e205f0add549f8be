"""The categorical VAE: a posterior over symbols, trained through relaxed draws. Jang et al. 2017; Maddison et al. 2017.

The trap: a relaxed draw may tell the decoder things that no code can. With the KL between categorical distributions,
which is that of codes, the relaxed objective is then no bound of log p(x), and can lie above it. So relaxed draws are
for training alone: "elbo" is always that of codes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor, nn

from vaelib.config import ConfigError
from vaelib.models.base import Objective, binarised
from vaelib.models.code_priors import CodePrior, DiscreteConfig, DiscreteModel
from vaelib.objectives import Loss
from vaelib.posteriors import HasKL

__all__ = ["Categorical", "CategoricalConfig", "CategoricalObjective", "Symbols"]


class CategoricalConfig(DiscreteConfig):
    """The networks of `DiscreteConfig`, for codes of `groups` symbols with `codes` values each."""

    family: Literal["categorical"] = "categorical"
    groups: PositiveInt = 20
    codes: int = Field(default=16, ge=2)


class CategoricalObjective(Objective):
    """The `temperature` of relaxed draws, which falls to `final_temperature` over the first `anneal_epochs`.

    It falls by the same factor in each epoch. Hot draws are smooth and biased, cold ones nearly codes, whose gradients
    vary much.
    """

    temperature: float = Field(default=1.0, gt=0)
    final_temperature: float = Field(default=0.5, gt=0)
    anneal_epochs: float = Field(default=10.0, ge=0)

    @model_validator(mode="after")
    def _check(self) -> CategoricalObjective:
        if self.final_temperature > self.temperature:
            raise ConfigError(
                f"final_temperature={self.final_temperature} lies above temperature={self.temperature}: lower it, as "
                "annealing cools"
            )
        return self

    @property
    def settled_epochs(self) -> int:
        return math.ceil(self.anneal_epochs)

    def at(self, epoch: float) -> float:
        """The temperature after `epoch` passes; fractions count."""
        done = min(1.0, epoch / self.anneal_epochs) if self.anneal_epochs else 1.0
        return float(self.temperature * (self.final_temperature / self.temperature) ** done)


class Symbols:
    """q(z|x) = prod_g q(z_g|x), as log-probabilities (B, S), a block for each symbol."""

    def __init__(self, log_q: Tensor, prior: CodePrior) -> None:
        self.log_q, self._one_hot, self._entries = log_q, prior.one_hot, prior.entries

    def sample(self, samples: int = 1, generator: torch.Generator | None = None) -> Tensor:
        """Codes, which no gradient passes: (samples, B, G)."""
        blocks = self.log_q.detach().exp().split(self._entries, -1)
        drawn = [torch.multinomial(block, samples, replacement=True, generator=generator) for block in blocks]
        return torch.stack(drawn, -1).transpose(0, 1)

    def mode(self) -> Tensor:
        """The most probable codes: (B, G)."""
        return torch.stack([block.argmax(-1) for block in self.log_q.split(self._entries, -1)], -1)

    def relaxed(self, temperature: float, generator: torch.Generator | None = None) -> Tensor:
        """softmax((log q + Gumbel noise) / temperature), block by block, which gradients pass: (B, S)."""
        noise = -torch.empty_like(self.log_q).exponential_(generator=generator).log()
        blocks = ((self.log_q + noise) / temperature).split(self._entries, -1)
        return torch.cat([block.softmax(-1) for block in blocks], -1)

    def log_prob(self, z: Tensor) -> Tensor:
        return (self._one_hot(z) * self.log_q).sum(-1)

    def kl(self, prior: HasKL) -> Tensor | None:
        return None

    def kl_along(self, prior: CodePrior, one_hot: Tensor) -> Tensor:
        """sum_g KL(q(z_g|x) || p(z_g | z_<g)), with z_<g of codes (..., B, S): (..., B).

        Its mean over codes drawn from q is KL(q || p); where p knows no z_<g, it is that itself.
        """
        return (self.log_q.exp() * (self.log_q - prior.conditionals(one_hot))).sum(-1)


class Categorical(DiscreteModel):
    """p(z) p(x|z) with codes z of symbols, and q(z|x) of independent ones; the decoder reads codes one-hot."""

    family, Settings, Objective = "categorical", CategoricalConfig, CategoricalObjective
    config: CategoricalConfig
    spread = 2.0  # log-odds that already prefer some symbols

    def __init__(self, config: CategoricalConfig, image_shape: Sequence[int]) -> None:
        entries = (config.codes,) * config.groups
        super().__init__(config, image_shape, entries=entries, width=sum(entries))

    def posterior(self, x: Tensor) -> Symbols:
        return Symbols(self.prior.normalised(self.encode(x)), self.prior)

    def indices(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        q = self.posterior(x)
        return q.sample(1, generator)[0] if generator else q.mode()

    def vectors(self, z: Tensor) -> Tensor:
        return self.prior.one_hot(z)

    def terms(self, x: Tensor, generator: torch.Generator | None = None) -> dict[str, Tensor]:
        """The ELBO of codes, with one draw of them, and its terms: nats."""
        q = self.posterior(x)
        return self._terms(x, q, self.vectors(q.sample(1, generator)[0]))

    def relaxed_terms(
        self, x: Tensor, temperature: float, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """The same at a relaxed draw, which gradients pass. Its "elbo" is no bound of log p(x), and may be higher."""
        q = self.posterior(x)
        return self._terms(x, q, q.relaxed(temperature, generator))

    def losses(
        self, objective: CategoricalObjective, *, binarise: bool = False
    ) -> list[tuple[list[nn.Parameter], Loss]]:
        """Minus the relaxed objective in training; in evaluation minus the ELBO of codes, with its terms."""

        def loss(x: Tensor, epoch: float, generator: torch.Generator | None) -> dict[str, Tensor]:
            x = binarised(x, generator) if binarise else x
            if self.training:
                return {"loss": -self.relaxed_terms(x, objective.at(epoch), generator)["elbo"]}
            terms = self.terms(x, generator)
            return {"loss": -terms["elbo"], **terms}

        return [(list(self.parameters()), loss)]

    def _terms(self, x: Tensor, q: Symbols, one_hot: Tensor) -> dict[str, Tensor]:
        reconstruction = self.likelihood.log_prob(x, self.decode(one_hot))
        kl = q.kl_along(self.prior, one_hot)
        return {"elbo": reconstruction - kl, "reconstruction": reconstruction, "kl": kl}
