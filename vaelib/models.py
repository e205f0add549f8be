"""Encoder, decoder and the two together: mirrored multi-layer perceptrons (Kingma & Welling 2013, appendix C)."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from vaelib.config import Config
from vaelib.likelihoods import LikelihoodConfig, make_likelihood
from vaelib.priors import PriorConfig, make_prior

__all__ = ["VAE", "Decoder", "Encoder", "ModelConfig"]

ACTIVATIONS = {"tanh": nn.Tanh, "relu": nn.ReLU, "silu": nn.SiLU, "elu": nn.ELU, "identity": nn.Identity}


class ModelConfig(Config):
    """The networks' shape. `hidden` lists the encoder's layers; the decoder mirrors them.

    `init` "normal" draws all weights and biases from N(0, init_std^2), as Kingma & Welling did (their N(0, 0.01) has
    variance 0.01, read like every other N in their paper); "framework" is torch's own. `output_bias` "average" lets the
    decoder start at the average training image. "identity" as activation makes a linear VAE, the one whose evidence is
    known exactly.
    """

    latent_dim: PositiveInt = 20
    hidden: tuple[PositiveInt, ...] = (500, 500)
    activation: Literal["tanh", "relu", "silu", "elu", "identity"] = "tanh"
    init: Literal["framework", "normal"] = "framework"
    init_std: float = Field(default=0.1, gt=0)
    output_bias: Literal["init", "average"] = "init"
    likelihood: LikelihoodConfig = LikelihoodConfig()
    prior: PriorConfig = PriorConfig()


class Encoder(nn.Module):
    """q(z|x) = N(mean(x), diag e^log_var(x)): (B, D) -> mean (B, Z), log_var (B, Z)."""

    def __init__(self, pixels: int, config: ModelConfig) -> None:
        super().__init__()
        self.body, width = _mlp(pixels, config.hidden, config.activation)
        self.mean = nn.Linear(width, config.latent_dim)
        self.log_var = nn.Linear(width, config.latent_dim)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = self.body(x)
        return self.mean(h), self.log_var(h)


class Decoder(nn.Module):
    """The parameters of p(x|z), before the likelihood reads them: (..., Z) -> (..., heads * D)."""

    def __init__(self, outputs: int, config: ModelConfig) -> None:
        super().__init__()
        self.body, width = _mlp(config.latent_dim, config.hidden[::-1], config.activation)
        self.outputs = nn.Linear(width, outputs)

    def forward(self, z: Tensor) -> Tensor:
        return self.outputs(self.body(z))


class VAE(nn.Module):
    """p(z) p(x|z) with its approximate posterior q(z|x), for images of `image_shape`, flattened to D pixels."""

    def __init__(self, config: ModelConfig, image_shape: tuple[int, ...]) -> None:
        super().__init__()
        if not image_shape or any(int(side) != side or side < 1 for side in image_shape):
            raise ValueError(f"image_shape={image_shape!r}: expected positive whole numbers such as (28, 28)")
        self.config, self.image_shape = config, tuple(int(side) for side in image_shape)
        self.pixels = math.prod(self.image_shape)
        self.likelihood = make_likelihood(config.likelihood)
        self.encoder = Encoder(self.pixels, config)
        self.decoder = Decoder(self.likelihood.heads * self.pixels, config)
        self.prior = make_prior(config.prior, config.latent_dim, self.pixels, self.encoder)
        if config.init == "normal":
            for parameter in [*self.encoder.parameters(), *self.decoder.parameters()]:
                nn.init.normal_(parameter, std=config.init_std)

    @torch.no_grad()
    def start_at(self, average: Tensor) -> None:
        """Sets the output layer's bias: the decoder draws the image `average` (D,) where its hidden units are 0."""
        self.decoder.outputs.bias[: self.pixels] = self.likelihood.outputs_for(average)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of q(z|x): (B, D) -> (B, Z), (B, Z)."""
        if x.dim() != 2 or x.shape[1] != self.pixels:
            raise ValueError(
                f"x has shape {tuple(x.shape)}: expected (batch, {self.pixels}), images {self.image_shape} flattened"
            )
        return self.encoder(x)

    def decode(self, z: Tensor) -> Tensor:
        """The decoder's raw outputs, which `likelihood` reads: (..., Z) -> (..., heads * D)."""
        if z.shape[-1] != self.config.latent_dim:
            raise ValueError(f"z has shape {tuple(z.shape)}: expected (..., {self.config.latent_dim})")
        return self.decoder(z)

    @torch.no_grad()
    def mean_image(self, z: Tensor) -> Tensor:
        """E[x|z], the picture that is usually shown: (..., Z) -> (..., D)."""
        return self.likelihood.mean(self.decode(z))

    @torch.no_grad()
    def reconstruct(self, x: Tensor) -> Tensor:
        """E[x|z] at the posterior's mean: (B, D) -> (B, D)."""
        return self.mean_image(self.encode(x)[0])

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator | None = None, *, noise: bool = False) -> Tensor:
        """n images from the prior, (n, D): their means E[x|z], or with `noise` a draw from p(x|z) itself."""
        outputs = self.decode(self.prior.sample(n, generator))
        return self.likelihood.sample(outputs, generator) if noise else self.likelihood.mean(outputs)


def _mlp(inputs: int, hidden: tuple[int, ...], activation: str) -> tuple[nn.Sequential, int]:
    """Linear layers with an activation behind each, and the width that comes out."""
    widths = (inputs, *hidden)
    layers = [layer for a, b in pairwise(widths) for layer in (nn.Linear(a, b), ACTIVATIONS[activation]())]
    return nn.Sequential(*layers), widths[-1]
