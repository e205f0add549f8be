"""Codes made of symbols: p(code), uniform, by the symbols' frequencies or one after the other; and what models share.

A code has G symbols; symbol g is a whole number from 0 to entries[g] - 1. One-hot, a code is a row of S = sum(entries)
zeros with G ones, a block for each symbol. A prior is learned with its model (`prior` in the model's settings), or from
the codes of a finished one, which is then given it by `vaelib.priors.with_prior`::

    prior = AutoregressiveCodes(model.prior.entries, dropout=0.5)
    prior.start(codes)
    fit(prior, prior.loss, codes.float(), TrainingConfig(patience=10), held_out={"validation": held_out.float()})
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from vaelib.config import Config, ConfigError
from vaelib.likelihoods import LikelihoodConfig, make_likelihood
from vaelib.models.base import Autoencoder, ModelConfig, mlp, must_fit
from vaelib.priors import Prior

__all__ = ["AutoregressiveCodes", "AutoregressiveCodesConfig", "CodePrior", "CodePriorConfig", "DiscreteConfig"]
__all__ += ["DiscreteModel", "UniformCodes", "UniformCodesConfig", "UnigramCodes", "UnigramCodesConfig"]

SMALLEST = 1e-3  # deviation that is scaled to 1: what is smaller hardly comes from the images


class UniformCodesConfig(Config):
    """All codes alike, as van den Oord et al. 2017 train: the rate is log(number of codes)."""

    kind = "name"
    name: Literal["uniform"] = "uniform"


class UnigramCodesConfig(Config):
    """`UnigramCodes`, learned with the model."""

    kind = "name"
    name: Literal["unigram"] = "unigram"


class AutoregressiveCodesConfig(Config):
    """`AutoregressiveCodes` with those `hidden` layers, learned with the model."""

    kind = "name"
    name: Literal["autoregressive"] = "autoregressive"
    hidden: tuple[PositiveInt, ...] = (256,)
    dropout: float = Field(default=0.0, ge=0, lt=1)


CodePriorConfig = Annotated[
    UniformCodesConfig | UnigramCodesConfig | AutoregressiveCodesConfig, Field(discriminator="name")
]
"""Which p(code) a model of discrete codes is trained with."""


class CodePrior(Prior):
    """p(z) = prod_g p(z_g | z_1, ..., z_{g-1}) of codes z (..., G), whole numbers; `latent_dim` is G.

    Raises:
        ConfigError: no symbol, or one without entries.
    """

    entries: tuple[int, ...]
    offsets: Tensor

    def __init__(self, entries: Sequence[int]) -> None:
        super().__init__()
        if not entries or any(int(size) != size or size < 1 for size in entries):
            raise ConfigError(f"entries={tuple(entries)}: expected how many values each symbol has, such as (64, 64)")
        self.entries = tuple(int(size) for size in entries)
        self.latent_dim = len(self.entries)
        sizes = torch.tensor(self.entries)
        self.register_buffer("offsets", sizes.cumsum(0) - sizes, persistent=False)

    @abstractmethod
    def conditionals(self, one_hot: Tensor) -> Tensor:
        """log p(z_g = k | the symbols before g) for all g and k, nats: one-hot codes (..., S) -> (..., S).

        Relaxed codes, whose blocks are probabilities, are taken as well.
        """

    def log_prob(self, z: Tensor) -> Tensor:
        """log p(z) in nats: codes (..., G) -> (...). Raises a ValueError for symbols that are no entries."""
        one_hot = self.one_hot(z)
        return (one_hot * self.conditionals(one_hot)).sum(-1)

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """n codes, one symbol after the other: (n, G), int64."""
        z = self.offsets.new_zeros(n, self.latent_dim)
        for g in range(self.latent_dim):
            log_p = self.conditionals(self.one_hot(z)).split(self.entries, -1)[g]
            z[:, g] = torch.multinomial(log_p.exp().expand(n, -1), 1, generator=generator).squeeze(-1)
        return z

    def loss(self, z: Tensor, epoch: float, generator: torch.Generator | None) -> dict[str, Tensor]:
        """What `vaelib.training.fit` minimises, given codes as float32: -log p(z), nats, (B, G) -> (B,)."""
        return {"loss": -self.log_prob(z)}

    def one_hot(self, z: Tensor) -> Tensor:
        """Codes (..., G) -> (..., S)."""
        z = z.long()
        if z.shape[-1] != self.latent_dim or bool(((z < 0) | (z >= z.new_tensor(self.entries))).any()):
            raise ValueError(f"codes {tuple(z.shape)} do not fit: expected (..., {self.latent_dim}) of {self.entries}")
        blank = torch.zeros((*z.shape[:-1], sum(self.entries)), dtype=torch.get_default_dtype(), device=z.device)
        return blank.scatter_(-1, z + self.offsets, 1.0)

    def normalised(self, logits: Tensor) -> Tensor:
        """log-probabilities, a softmax for each symbol's block: (..., S) -> (..., S)."""
        return torch.cat([F.log_softmax(block, -1) for block in logits.split(self.entries, -1)], -1)


class UniformCodes(CodePrior):
    """p(z) = 1 / (number of codes)."""

    log_p: Tensor

    def __init__(self, entries: Sequence[int]) -> None:
        super().__init__(entries)
        self.register_buffer("log_p", self.normalised(torch.zeros(sum(self.entries))), persistent=False)

    def conditionals(self, one_hot: Tensor) -> Tensor:
        return self.log_p.expand_as(one_hot)


class UnigramCodes(CodePrior):
    """p(z) = prod_g p(z_g): symbols on their own. Uniform until learned by gradients, or by `start` from counts."""

    def __init__(self, entries: Sequence[int]) -> None:
        super().__init__(entries)
        self.logits = nn.Parameter(torch.zeros(sum(self.entries)))

    def conditionals(self, one_hot: Tensor) -> Tensor:
        return self.normalised(self.logits).expand_as(one_hot)

    @torch.no_grad()
    def start(self, z: Tensor) -> None:
        """p(z_g = k) = (count + 1) / (N + entries): the frequencies in codes z (N, G)."""
        self.logits.copy_((self.one_hot(z).sum(0) + 1).log())


class AutoregressiveCodes(CodePrior):
    """p(z) = prod_g p(z_g | z_<g), all of them from one masked network: MADE (Germain et al. 2015, section 3.2).

    Hidden unit h has a degree from 1 to G - 1 and sees so many symbols, the first ones; what is said of symbol g sees
    hidden units of degrees below g. So no way leads from a symbol to itself, or to one before it. The last layer starts
    at zero, its bias at the `UnigramCodes` of `start`: training begins where counting ends.
    """

    def __init__(self, entries: Sequence[int], hidden: Sequence[int] = (256,), dropout: float = 0.0) -> None:
        super().__init__(entries)
        symbol = torch.repeat_interleave(torch.arange(self.latent_dim), torch.tensor(self.entries))  # 0 .. G - 1, (S,)
        sees, layers = symbol + 1, nn.Sequential()  # a unit of degree m sees what has degrees 1 .. m
        for width in hidden:
            degrees = 1 + torch.arange(width) % max(1, self.latent_dim - 1)
            layers.extend([MaskedLinear(degrees[:, None] >= sees), nn.ReLU(), nn.Dropout(dropout)])
            sees = degrees
        self.last = MaskedLinear(symbol[:, None] >= sees)
        self.body = layers
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def conditionals(self, one_hot: Tensor) -> Tensor:
        return self.normalised(self.last(self.body(one_hot)))

    @torch.no_grad()
    def start(self, z: Tensor) -> None:
        """Starts where `UnigramCodes` does, at the frequencies in codes z (N, G)."""
        self.last.bias.copy_((self.one_hot(z).sum(0) + 1).log())


class MaskedLinear(nn.Linear):
    """A linear layer without the weights where `mask` (outputs, inputs) is False."""

    mask: Tensor

    def __init__(self, mask: Tensor) -> None:
        super().__init__(mask.shape[1], mask.shape[0])
        self.register_buffer("mask", mask.to(self.weight.dtype), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.mask, self.bias)


class DiscreteConfig(ModelConfig):
    """The networks' shape, and p(code). `hidden` lists the encoder's layers; the decoder mirrors them."""

    hidden: tuple[PositiveInt, ...] = (500, 500)
    activation: Literal["tanh", "relu", "silu", "identity"] = "silu"
    likelihood: LikelihoodConfig = LikelihoodConfig()
    prior: CodePriorConfig = UniformCodesConfig()


class DiscreteModel(Autoencoder):
    """p(z) p(x|z) where z is a code of symbols with so many `entries`.

    The decoder reads `width` numbers, the `vectors` of a code. The encoder returns as many, of deviation `spread`.
    """

    config: DiscreteConfig
    prior: CodePrior
    average: Tensor
    spread = 1.0

    def __init__(
        self, config: DiscreteConfig, image_shape: Sequence[int], *, entries: Sequence[int], width: int
    ) -> None:
        super().__init__(config, image_shape)
        self.likelihood = make_likelihood(config.likelihood)
        encoder = (self.pixels, *config.hidden, width)
        decoder = (width, *config.hidden[::-1], self.likelihood.heads * self.pixels)
        must_fit(f"{self.pixels:,} pixels, hidden={config.hidden} and codes of {width} numbers", encoder, decoder)
        self.register_buffer("average", torch.zeros(self.pixels))
        self.encoder: Any = _network(encoder, config.activation)
        self.decoder = _network(decoder, config.activation)
        self.prior = UniformCodes(entries)
        if isinstance(config.prior, UnigramCodesConfig):
            self.prior = UnigramCodes(entries)
        elif isinstance(config.prior, AutoregressiveCodesConfig):
            self.prior = AutoregressiveCodes(entries, config.prior.hidden, config.prior.dropout)

    @abstractmethod
    def indices(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """The code of each image, whole numbers: (B, D) -> (B, G). Where it is random: a draw, if given a generator."""

    @torch.no_grad()
    def start(self, x: Tensor) -> None:
        """Starts at the average of x (N, D), and with encoder's outputs of mean 0 and deviation `spread` each.

        Untrained, outputs hardly differ, and all images would begin with one code (after Salimans & Kingma 2016).
        """
        self.start_at_average(x)
        outputs, last = self.encoded(x), self.encoder[-1]
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
    def encoded(self, x: Tensor) -> Tensor:
        """`encode` for all of x, in batches: (N, D) -> (N, W)."""
        return torch.cat([self.encode(batch) for batch in x.split(1000)])

    def encode(self, x: Tensor) -> Tensor:
        """The encoder's outputs, before they become a code: (B, D) -> (B, W)."""
        self.must_be_images(x)
        outputs: Tensor = self.encoder(x - self.average)
        return outputs

    @torch.no_grad()
    def reconstruct(self, x: Tensor) -> Tensor:
        """E[x|z] at the image's code, the most probable one where it is random: (B, D) -> (B, D)."""
        return self.mean_image(self.indices(x))

    @torch.no_grad()
    def codes(self, x: Tensor) -> Tensor:
        """The vectors of the images' codes: (B, D) -> (B, W)."""
        return self.vectors(self.indices(x))


def _network(widths: Sequence[int], activation: str) -> nn.Sequential:
    body, width = mlp(widths[0], widths[1:-1], activation)
    return body.append(nn.Linear(width, widths[-1]))
