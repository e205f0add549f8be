"""Codes that are looked up or rounded: the VQ-VAE of van den Oord et al. 2017, and finite scalar quantisation.

The code of an image is a function of it, so q(z|x) is a point mass, its KL from p(z) is the rate -log p(z), and

    log p(x) >= log p(x|z) + log p(z)    at the image's own code z:

the sum over all codes of p(z) p(x|z) has that term among others. This is what such a model's "elbo" is, in nats.
"""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Sequence
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
import torch
from pydantic import Field, PositiveInt, model_validator
from torch import Tensor, nn

from vaelib.config import Config, ConfigError
from vaelib.models.base import binarised
from vaelib.models.code_priors import DiscreteConfig, DiscreteModel
from vaelib.objectives import Loss
from vaelib.posteriors import Posterior

__all__ = ["VQ", "Quantised", "Quantiser", "RoundedConfig", "RoundedNumbers", "VQConfig", "VectorsConfig"]
__all__ += ["NearestVectors", "straight_through"]

TO_CLUSTER = 5_000  # encoder outputs that k-means sees, or ten for each vector if that is more


class VectorsConfig(Config):
    """`groups` vectors of `code_dim` numbers, each the nearest of its own codebook of `codes` vectors.

    `commitment` weighs the squared distance from the encoder's output to its vector, which the encoder shall keep small
    (beta of van den Oord et al. 2017, equation 3). The codebook is an average of the encoder's outputs, of which each
    batch replaces the share 1 - `decay` (their appendix A.1). With `init` "data" these outputs are scaled, and k-means
    in those of the training images gives the first vectors; "random" knows nothing of the images. A vector whose use
    has fallen below `revive` / `codes` moves to an output of the batch; 0 lets the dead rest.
    """

    kind = "name"
    name: Literal["vq"] = "vq"
    groups: PositiveInt = 16
    codes: int = Field(default=64, ge=2)
    code_dim: PositiveInt = 4
    commitment: float = Field(default=0.25, gt=0)
    decay: float = Field(default=0.99, gt=0, lt=1)
    init: Literal["data", "random"] = "data"
    revive: float = Field(default=0.1, ge=0, lt=1)


class RoundedConfig(Config):
    """Finite scalar quantisation: one number for each entry of `levels`, rounded to so many levels."""

    kind = "name"
    name: Literal["fsq"] = "fsq"
    levels: tuple[PositiveInt, ...] = (8,) * 8

    @model_validator(mode="after")
    def _check(self) -> RoundedConfig:
        if not self.levels or min(self.levels) < 2:
            raise ConfigError(f"levels={self.levels}: expected one number or more, each rounded to 2 levels or more")
        return self


class VQConfig(DiscreteConfig):
    """The networks of `DiscreteConfig`, and how their codes are made: `quantiser` "vq" or "fsq"."""

    family: Literal["vq"] = "vq"
    quantiser: Annotated[VectorsConfig | RoundedConfig, Field(discriminator="name")] = VectorsConfig()


def straight_through(z: Tensor, quantised: Tensor) -> Tensor:
    """`quantised` as a value, with the gradient of `z`, as if there were no step. Bengio et al. 2013, section 4."""
    return z + (quantised - z).detach()


class Quantised(NamedTuple):
    """Codes (B, G), the vectors (B, W) that the decoder reads, and a penalty for the encoder, (B,)."""

    indices: Tensor
    vectors: Tensor
    penalty: Tensor


class Quantiser(nn.Module):
    """Turns the encoder's W outputs into a code of symbols with so many `entries`, and a code into W numbers.

    `use` (S,) has for each symbol's entries the share of recent images that had them; it starts even, never at zero.
    """

    entries: tuple[int, ...]
    width: int
    use: Tensor
    decay = 0.99
    spread = 1.0  # of the encoder's outputs at the start

    def __init__(self, entries: Sequence[int], width: int) -> None:
        super().__init__()
        self.entries, self.width = tuple(entries), width
        self.register_buffer("use", torch.cat([torch.full((size,), 1 / size) for size in entries]))

    @abstractmethod
    def forward(self, z: Tensor) -> Quantised:
        """The encoder's outputs (B, W) -> their codes, which pass the gradient straight through."""

    @abstractmethod
    def vectors(self, indices: Tensor) -> Tensor:
        """Codes (..., G) -> (..., W)."""

    def start(self, z: Tensor) -> None:
        """Before training, with the encoder's outputs for all training images: (N, W)."""

    @torch.no_grad()
    def learn(self, z: Tensor, indices: Tensor, generator: torch.Generator | None) -> None:
        """What a batch of the encoder's outputs (B, W) and their codes (B, G) teach without a gradient."""
        counts = [indices[:, g].bincount(minlength=size) for g, size in enumerate(self.entries)]
        self.use.lerp_(torch.cat(counts) / len(indices), 1 - self.decay)

    def perplexity(self) -> Tensor:
        """exp(entropy) of the use of each symbol's entries, (G,): 1 if one alone is used, their number if all alike."""
        blocks = [block / block.sum() for block in self.use.split(self.entries)]
        return torch.stack([torch.special.entr(block).sum().exp() for block in blocks])


class NearestVectors(Quantiser):
    """The nearest vector in each group's codebook (G, K, code_dim)."""

    codebook: Tensor

    def __init__(self, config: VectorsConfig) -> None:
        super().__init__((config.codes,) * config.groups, config.groups * config.code_dim)
        self.config, self.decay = config, config.decay
        self.register_buffer("codebook", torch.randn(config.groups, config.codes, config.code_dim))

    def forward(self, z: Tensor) -> Quantised:
        parts = self._parts(z)  # (B, G, code_dim)
        distances = self.codebook.square().sum(-1) - 2 * torch.einsum("bgd,gkd->bgk", parts, self.codebook)
        indices = distances.argmin(-1)  # but for |z|^2, which all have
        vectors = self.vectors(indices)
        return Quantised(indices, straight_through(z, vectors), self.config.commitment * (z - vectors).square().sum(-1))

    def vectors(self, indices: Tensor) -> Tensor:
        return self.codebook[torch.arange(self.config.groups), indices].flatten(-2)

    @torch.no_grad()
    def start(self, z: Tensor) -> None:
        """Raises a ConfigError where there are more vectors than images."""
        if self.config.codes > len(z):
            raise ConfigError(
                f"quantiser.codes={self.config.codes}: {len(z)} training images cannot fill so many, as each takes one "
                f"of each group; choose {len(z)} or fewer"
            )
        if self.config.init == "data":
            for g, part in enumerate(self._parts(z).unbind(1)):
                self.codebook[g] = _centres(part, self.config.codes, seed=g)

    @torch.no_grad()
    def learn(self, z: Tensor, indices: Tensor, generator: torch.Generator | None) -> None:
        """Vectors move to the mean of what they were taken for: m / N of the paper's running sums, step by step."""
        super().learn(z, indices, generator)
        shape, parts = self.codebook.shape[:2], self._parts(z)
        use = self.use.view(shape)  # N, (G, K)
        members = nn.functional.one_hot(indices, self.config.codes).to(z.dtype)  # (B, G, K)
        count = members.sum(0)
        mean = torch.einsum("bgk,bgd->gkd", members, parts) / count.clamp(min=1)[..., None]
        step = (1 - self.decay) * count / len(z) / use.clamp(min=torch.finfo(use.dtype).tiny)
        self.codebook.lerp_(mean, step[..., None])
        group, dead = (use < self.config.revive / self.config.codes).nonzero(as_tuple=True)
        if len(dead):
            chosen = torch.randint(len(z), (len(dead),), generator=generator, device=z.device)
            self.codebook[group, dead] = parts[chosen, group]
            use[group, dead] = 1 / self.config.codes  # a new life begins like the first

    def _parts(self, z: Tensor) -> Tensor:
        return z.unflatten(-1, (self.config.groups, self.config.code_dim))


class RoundedNumbers(Quantiser):
    """Each number is squashed into [-1, 1] and rounded to one of its L levels, which are evenly spaced.

    Level k of 0 .. L - 1 stands for 2 k / (L - 1) - 1. Mentzer et al. 2024, section 3.1; for even L they shift the
    levels so that one is 0, while these are symmetric. Nothing is learned, and nothing can die.
    """

    steps: Tensor
    spread = 0.5  # wider, and tanh would hardly pass a gradient

    def __init__(self, config: RoundedConfig) -> None:
        super().__init__(config.levels, len(config.levels))
        self.register_buffer("steps", torch.tensor(config.levels) - 1.0, persistent=False)

    def forward(self, z: Tensor) -> Quantised:
        squashed = torch.tanh(z)
        indices = (0.5 * (squashed + 1) * self.steps).round().long()
        return Quantised(indices, straight_through(squashed, self.vectors(indices)), z.new_zeros(len(z)))

    def vectors(self, indices: Tensor) -> Tensor:
        return 2 * indices / self.steps - 1


class VQ(DiscreteModel):
    """p(z) p(x|z) with the one code z that a quantiser gives an image. Its likelihood is known by a bound alone."""

    family, Settings, tightens = "vq", VQConfig, False
    config: VQConfig

    def __init__(self, config: VQConfig, image_shape: Sequence[int]) -> None:
        made: Quantiser
        if isinstance(config.quantiser, VectorsConfig):
            made = NearestVectors(config.quantiser)
        else:
            made = RoundedNumbers(config.quantiser)
        super().__init__(config, image_shape, entries=made.entries, width=made.width)
        self.quantiser, self.spread = made, made.spread

    @torch.no_grad()
    def start(self, x: Tensor) -> None:
        """Raises a ConfigError where there are more vectors in a codebook than images."""
        quantiser = self.config.quantiser
        if isinstance(quantiser, VectorsConfig) and quantiser.init == "random":
            self.start_at_average(x)
        else:
            super().start(x)
        self.quantiser.start(self.encoded(x))

    def indices(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        return self.quantiser(self.encode(x)).indices

    def vectors(self, z: Tensor) -> Tensor:
        return self.quantiser.vectors(z)

    def terms(self, x: Tensor, generator: torch.Generator | None = None) -> dict[str, Tensor]:
        """The bound log p(x|z) + log p(z), its reconstruction log p(x|z), and as "kl" the rate -log p(z), nats."""
        return self._terms(x, self.quantiser(self.encode(x)))

    def log_weights(
        self, x: Tensor, samples: int, generator: torch.Generator | None = None, posterior: Posterior | None = None
    ) -> Tensor:
        """The same bound `samples` times: all draws of a point mass are alike, and more of them tighten nothing."""
        return self.terms(x)["elbo"].expand(samples, -1)

    def losses(self, objective: Any, *, binarise: bool = False) -> list[tuple[list[nn.Parameter], Loss]]:
        """Minus the bound, plus the quantiser's penalty. A prior with weights learns from codes, and moves none.

        "perplexity" is that of the `use` of recent batches, a mean over the symbols: how many entries are in use.
        """

        def loss(x: Tensor, epoch: float, generator: torch.Generator | None) -> dict[str, Tensor]:
            x = binarised(x, generator) if binarise else x
            z = self.encode(x)
            found = self.quantiser(z)
            terms = self._terms(x, found)
            if self.training:
                self.quantiser.learn(z, found.indices, generator)
            return {"loss": found.penalty - terms["elbo"], **terms, "perplexity": self.quantiser.perplexity().mean()}

        return [(list(self.parameters()), loss)]

    def _terms(self, x: Tensor, found: Quantised) -> dict[str, Tensor]:
        reconstruction = self.likelihood.log_prob(x, self.decode(found.vectors))
        rate = -self.prior.log_prob(found.indices)
        return {"elbo": reconstruction - rate, "reconstruction": reconstruction, "kl": rate}


def _centres(z: Tensor, codes: int, seed: int) -> Tensor:
    """The centres of `codes` clusters of rows z (N, d), found by k-means in some of them."""
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    rows = z.cpu().numpy()
    some = np.random.default_rng(seed).permutation(len(rows))[: max(TO_CLUSTER, 10 * codes)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # of fewer different rows than codes: some start as twins
        found = KMeans(codes, n_init=1, max_iter=30, random_state=seed).fit(rows[some])
    return torch.from_numpy(found.cluster_centers_).to(z)
