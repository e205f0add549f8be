"""What models of discrete codes share: their networks, their likelihood, and a prior over the symbols of a code."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from vaelib.likelihoods import LikelihoodConfig, make_likelihood
from vaelib.models.base import LatentVariableModel, ModelConfig, must_fit
from vaelib.models.code_priors import CodePrior, CodePriorConfig, UniformCodesConfig, make_code_prior
from vaelib.models.networks import mlp

__all__ = ["DiscreteConfig", "DiscreteModel"]

SMALLEST = 1e-3  # deviation that is scaled to 1: what is smaller hardly comes from the images


class DiscreteConfig(ModelConfig):
    """The networks' shape, and p(code). `hidden` lists the encoder's layers; the decoder mirrors them."""

    hidden: tuple[PositiveInt, ...] = (500, 500)
    activation: Literal["tanh", "relu", "silu", "identity"] = "silu"
    likelihood: LikelihoodConfig = LikelihoodConfig()
    prior: CodePriorConfig = UniformCodesConfig()


class DiscreteModel(LatentVariableModel):
    """p(z) p(x|z) where z is a code of G symbols; the decoder reads the W numbers that it stands for, its `vectors`.

    The encoder returns `outputs` numbers; symbol g has `entries[g]` values.
    """

    config: DiscreteConfig
    prior: CodePrior
    average: Tensor
    spread = 1.0

    def __init__(
        self, config: DiscreteConfig, image_shape: Sequence[int], *, entries: Sequence[int], outputs: int, width: int
    ) -> None:
        super().__init__(config, image_shape)
        self.likelihood = make_likelihood(config.likelihood)
        encoder = (self.pixels, *config.hidden, outputs)
        decoder = (width, *config.hidden[::-1], self.likelihood.heads * self.pixels)
        weights = sum(a * b for widths in (encoder, decoder) for a, b in pairwise(widths))
        must_fit(weights, f"{self.pixels:,} pixels, hidden={config.hidden} and codes of {width} numbers")
        self.register_buffer("average", torch.zeros(self.pixels))
        self.encoder: Any = _network(encoder, config.activation)
        self.decoder: Any = _network(decoder, config.activation)
        self.prior = make_code_prior(config.prior, entries)

    @abstractmethod
    def indices(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """The code of each image, whole numbers: (B, D) -> (B, G). Where it is random: a draw, if given a generator."""

    @abstractmethod
    def vectors(self, z: Tensor) -> Tensor:
        """What the decoder reads of codes: whole numbers (..., G) -> (..., W)."""

    def check(self, x: Tensor) -> None:
        super().check(x)
        self.likelihood.check(x)

    @torch.no_grad()
    def start(self, x: Tensor) -> None:
        """Starts at the average of x (N, D), and with encoder's outputs of mean 0 and deviation `spread` each.

        Untrained, outputs hardly differ, and all images would begin with one code (after Salimans & Kingma 2016).
        """
        self.start_at_average(x)
        outputs, last = self.outputs(x), self.encoder[-1]
        deviation = outputs.std(0, correction=0).clamp(min=SMALLEST) / self.spread
        last.weight.div_(deviation[:, None])
        last.bias.sub_(outputs.mean(0)).div_(deviation)

    @torch.no_grad()
    def start_at_average(self, x: Tensor) -> None:
        """The encoder sees how images differ from the average of x (N, D), which the decoder starts by drawing.

        Otherwise the first steps, which look for that average, push the codes of all images the same way, and rounded
        ones up to where they stay.
        """
        self.average.copy_(x.mean(0))
        self.decoder[-1].bias[: self.pixels] = self.likelihood.outputs_for(self.average)

    @torch.no_grad()
    def outputs(self, x: Tensor) -> Tensor:
        """The encoder's outputs for all of x, in batches: (N, D) -> (N, outputs)."""
        return torch.cat([self.encode(batch) for batch in x.split(1000)])

    def encode(self, x: Tensor) -> Tensor:
        """The encoder's outputs, before they become a code: (B, D) -> (B, outputs)."""
        if x.dim() != 2 or x.shape[1] != self.pixels:
            raise ValueError(
                f"x has shape {tuple(x.shape)}: expected (batch, {self.pixels}), images {self.image_shape} flattened"
            )
        outputs: Tensor = self.encoder(x - self.average)
        return outputs

    def decode(self, vectors: Tensor) -> Tensor:
        """The decoder's raw outputs, which `likelihood` reads: (..., W) -> (..., heads * D)."""
        outputs: Tensor = self.decoder(vectors)
        return outputs

    @torch.no_grad()
    def mean_image(self, z: Tensor) -> Tensor:
        """E[x|z] of codes: whole numbers (..., G) -> (..., D)."""
        return self.likelihood.mean(self.decode(self.vectors(z)))

    @torch.no_grad()
    def reconstruct(self, x: Tensor) -> Tensor:
        """E[x|z] at the image's code, the most probable one where it is random: (B, D) -> (B, D)."""
        return self.mean_image(self.indices(x))

    @torch.no_grad()
    def codes(self, x: Tensor) -> Tensor:
        """The vectors of the images' codes: (B, D) -> (B, W)."""
        return self.vectors(self.indices(x))

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator | None = None, *, noise: bool = False) -> Tensor:
        """n images from the prior, (n, D): their means E[x|z], or with `noise` a draw from p(x|z) itself."""
        outputs = self.decode(self.vectors(self.prior.sample(n, generator)))
        return self.likelihood.sample(outputs, generator) if noise else self.likelihood.mean(outputs)


def _network(widths: Sequence[int], activation: str) -> nn.Sequential:
    body, width = mlp(widths[0], widths[1:-1], activation)
    return body.append(nn.Linear(width, widths[-1]))
