"""What every family of models offers, what its networks are made of, and how it becomes known.

A new family is one file: its settings (a `ModelConfig`), its objective's settings (an `Objective`), and a subclass of
`LatentVariableModel` that has them, or of `Autoencoder` where a likelihood reads what a decoder says; and one line of
registration in `vaelib/models/__init__.py` (or a call of `register`). Runs, sweeps, evaluation and the command line
then know it.
"""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vaelib.config import Config, ConfigError, pick
from vaelib.likelihoods import Likelihood
from vaelib.objectives import Loss
from vaelib.posteriors import Posterior
from vaelib.priors import Prior

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["ACTIVATIONS", "FAMILIES", "Autoencoder", "BatchNorm", "LatentVariableModel", "ModelConfig", "Objective"]
__all__ += ["UnsupportedError", "binarised", "family_of", "mlp", "must_fit", "new_model", "register"]

ACTIVATIONS = {"tanh": nn.Tanh, "relu": nn.ReLU, "silu": nn.SiLU, "identity": nn.Identity}


class UnsupportedError(NotImplementedError):
    """A family cannot do what was asked of it, such as a likelihood where it has none."""


class ModelConfig(Config):
    """Base of the settings of a family's networks; `family` names it."""

    kind = "family"
    model: ClassVar[Any] = None  # the family's class, which so travels with its settings to other processes
    family: str


class Objective(Config):
    """Base of the settings of a family's objective."""

    @property
    def settled_epochs(self) -> float:
        """After how many epochs the loss means the same from one to the next: before, none is the best. May be inf."""
        return 0


class LatentVariableModel(nn.Module, ABC):
    """A model of images of `image_shape`, flattened to D `pixels`, with latents drawn from `prior`."""

    family: ClassVar[str]
    version: ClassVar[int] = 1
    """Part of a run's identity: raise it when the same settings train to other weights."""
    Settings: ClassVar[type[ModelConfig]]
    Objective: ClassVar[type[Objective]] = Objective
    prior: Prior
    tightens: ClassVar[bool] = True
    """Whether more draws of q(z|x) bring the importance-weighted bound nearer to log p(x)."""

    def __init__(self, config: ModelConfig, image_shape: Sequence[int]) -> None:
        super().__init__()
        if not image_shape or any(int(side) != side or side < 1 for side in image_shape):
            raise ValueError(f"image_shape={image_shape!r}: expected positive whole numbers such as (28, 28)")
        self.config: Any = config
        self.image_shape = tuple(int(side) for side in image_shape)
        self.pixels = math.prod(self.image_shape)

    @abstractmethod
    def losses(self, objective: Any, *, binarise: bool = False) -> list[tuple[list[nn.Parameter], Loss]]:
        """What training minimises: (parameters, loss) pairs, each with an optimiser, taken in turn on every batch.

        One pair for most; two for a GAN and for wake-sleep. With `binarise` each batch is drawn anew from Bernoulli(x).
        """

    @abstractmethod
    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """n images from the model, (n, D)."""

    def check(self, x: Tensor) -> None:
        """Raises a ValueError if `x` is no batch of images (N, D) that this model can learn."""
        self.must_be_images(x)

    def must_be_images(self, x: Tensor) -> None:
        """Raises a ValueError if `x` has not the shape (N, D) and the type of this model's images."""
        dtype = next(self.parameters()).dtype
        if x.dim() != 2 or x.shape[1] != self.pixels or x.dtype != dtype:
            raise ValueError(
                f"x is {x.dtype} {tuple(x.shape)}: expected {dtype} (images, {self.pixels}), images {self.image_shape} "
                "flattened"
            )

    def start(self, x: Tensor) -> None:
        """Called once before the training, with its images (N, D): what is initialised from data."""

    def posterior(self, x: Tensor) -> Posterior:
        """q(z|x) of images (B, D)."""
        self._cannot("posterior")

    def log_weights(
        self, x: Tensor, samples: int, generator: torch.Generator | None = None, posterior: Posterior | None = None
    ) -> Tensor:
        """log p(x, z) - log q(z|x) at draws z of q(z|x), nats: (B, D) -> (samples, B).

        Their mean is the Monte Carlo ELBO, their logsumexp the importance-weighted bound. A `posterior` that is known
        already need not be computed again.
        """
        self._cannot("likelihood")

    def terms(self, x: Tensor, generator: torch.Generator | None = None) -> dict[str, Tensor]:
        """What a run records of each image: (B, D) -> "elbo" and, where it splits, its terms; (B,) each, nats."""
        return {"elbo": self.log_weights(x, 1, generator).mean(0)}

    def reconstruct(self, x: Tensor) -> Tensor:
        """The pictures that the codes of images stand for: (B, D) -> (B, D)."""
        self._cannot("reconstruction")

    def codes(self, x: Tensor) -> Tensor:
        """One code for each image: (B, D) -> (B, Z)."""
        self._cannot("code for an image")

    def discretised(self) -> Self:
        """The same model, whose p(x|z) is a probability of 256 grey levels: it gives honest bits per dimension.

        Raises:
            UnsupportedError: the family has no likelihood. ConfigError: it is no density of grey pixels.
        """
        self._cannot("likelihood of grey levels")

    def _cannot(self, what: str) -> NoReturn:
        raise UnsupportedError(f"a model of the family {self.family!r} has no {what}")


class Autoencoder(LatentVariableModel):
    """p(z) p(x|z): a `decoder` reads a code, a `likelihood` what it says; and a q(z|x) finds an image's code."""

    likelihood: Likelihood
    decoder: Any

    def check(self, x: Tensor) -> None:
        super().check(x)
        self.likelihood.check(x)

    def vectors(self, z: Tensor) -> Tensor:
        """What the decoder reads of codes z (..., Z): the codes, where they are made of real numbers."""
        return z

    def decode(self, vectors: Tensor) -> Tensor:
        """The decoder's raw outputs, which `likelihood` reads: (..., W) -> (..., heads * D)."""
        outputs: Tensor = self.decoder(vectors)
        return outputs

    def log_weights(
        self, x: Tensor, samples: int, generator: torch.Generator | None = None, posterior: Posterior | None = None
    ) -> Tensor:
        q = posterior or self.posterior(x)
        z = q.sample(samples, generator)
        log_p_x_given_z = self.likelihood.log_prob(x, self.decode(self.vectors(z)))
        return log_p_x_given_z + self.prior.log_prob(z) - q.log_prob(z)

    @torch.no_grad()
    def mean_image(self, z: Tensor) -> Tensor:
        """E[x|z], the picture that is usually shown: (..., Z) -> (..., D)."""
        return self.likelihood.mean(self.decode(self.vectors(z)))

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator | None = None, *, noise: bool = False) -> Tensor:
        """n images from the prior, (n, D): their means E[x|z], or with `noise` a draw from p(x|z) itself."""
        outputs = self.decode(self.vectors(self.prior.sample(n, generator)))
        return self.likelihood.sample(outputs, generator) if noise else self.likelihood.mean(outputs)

    def discretised(self) -> Self:
        twin: Any = copy.deepcopy(self)
        twin.likelihood = self.likelihood.discretised()
        if twin.likelihood is not self.likelihood:
            twin.config = self.config.replace(likelihood=twin.likelihood.config)
        return twin.eval()


class BatchNorm(nn.BatchNorm1d):
    """Batch normalisation of each unit over all leading dimensions: (..., H) -> (..., H). Ioffe & Szegedy 2015.

    A single row has no spread of its own: in training, too, it is normalised by the averages so far.
    """

    def forward(self, x: Tensor) -> Tensor:
        rows = x.reshape(-1, x.shape[-1])
        if len(rows) > 1:
            return super().forward(rows).reshape(x.shape)
        return F.batch_norm(rows, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps).view_as(x)


def mlp(inputs: int, hidden: Sequence[int], activation: str, *, batch_norm: bool = False) -> tuple[nn.Sequential, int]:
    """Linear layers with an activation behind each, and the width that comes out.

    With `batch_norm` what a linear layer gives is normalised before it is bent.
    """
    layers: list[nn.Module] = []
    for a, b in pairwise((inputs, *hidden)):
        layers += [nn.Linear(a, b), *([BatchNorm(b)] if batch_norm else []), ACTIVATIONS[activation]()]
    return nn.Sequential(*layers), (inputs, *hidden)[-1]


def binarised(x: Tensor, generator: torch.Generator | None) -> Tensor:
    """Binary pixels, each 1 with the probability that its grey value is."""
    noise = torch.rand(x.shape, generator=generator, dtype=x.dtype, device=x.device)
    return (noise < x).to(x.dtype)  # as torch.bernoulli, in a third of the time


def must_fit(what: str, *networks: Sequence[int]) -> None:
    """Refuses networks, given by the widths of their layers, that this machine's memory cannot train; before they are.

    Training holds each weight five times: itself, its gradient, two moments, and a copy of the last epoch's.

    Raises:
        ConfigError: they need more than there is.
    """
    import psutil

    weights = sum(a * b for widths in networks for a, b in pairwise(widths))
    needed, there = 5 * 4 * weights, psutil.virtual_memory().total
    if needed > there:
        raise ConfigError(
            f"{what} take {weights:,} weights, and training them {needed / 1e9:,.1f} GB where this machine has "
            f"{there / 1e9:,.1f}: use smaller images (data.size) or narrower layers (model.hidden, model.latent_dim)"
        )


FAMILIES: dict[str, type[LatentVariableModel]] = {}


def register(family: type[LatentVariableModel]) -> type[LatentVariableModel]:
    """Makes a family known by its name; also a decorator.

    Raises:
        ConfigError: another family has that name.
    """
    if FAMILIES.get(family.family, family).__qualname__ != family.__qualname__:
        raise ConfigError(f"two families are called {family.family!r}: {FAMILIES[family.family]} and {family}")
    FAMILIES[family.family] = family
    family.Settings.model = family
    return family


def family_of(settings: ModelConfig | Mapping[str, Any]) -> type[LatentVariableModel]:
    """The family that settings belong to; "vae" where they do not say.

    Raises:
        ConfigError: an unknown family; names the nearest.
    """
    name = settings.family if isinstance(settings, ModelConfig) else settings.get("family", "vae")
    if isinstance(settings, ModelConfig) and settings.model and name not in FAMILIES:
        register(settings.model)
    return FAMILIES[pick("family of models", name, FAMILIES)]


def new_model(config: ModelConfig, image_shape: Sequence[int], seed: int = 0) -> LatentVariableModel:
    """An untrained model whose initial weights come from `seed`."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # torch draws initial weights from its global generator only
        return family_of(config)(config, image_shape)
