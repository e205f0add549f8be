"""p(z): what a latent vector looks like before an image is seen.

A new prior is a subclass of `Prior`. To train with it, give it settings of its own in `PriorConfig`, or pass an
instance: ``VAE(config, shape, prior=MyPrior(20))``.
"""

from __future__ import annotations

import copy
import math
import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import ArrayLike
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from vaelib.config import Config, ConfigError
from vaelib.posteriors import gaussian_kl, gaussian_log_prob, normal, reparameterise

if TYPE_CHECKING:
    from vaelib.models.base import LatentVariableModel

__all__ = ["Flow", "FlowConfig", "Mixture", "MixtureFit", "Prior", "PriorConfig", "StandardNormal", "Tempered", "Vamp"]
__all__ += ["StandardNormalConfig", "VampConfig", "fit_mixture", "make_prior", "one_standard_error", "with_prior"]

Model = TypeVar("Model", bound="LatentVariableModel")

ENOUGH = 0.01  # nats per code: EM that gains less stops; held-out codes are no likelier after twice as many steps
CODES_AT_ONCE = 1000  # more would leave the cache, and take up to twice as long


class StandardNormalConfig(Config):
    """N(0, I), the only prior whose KL has a closed form."""

    kind = "name"
    name: Literal["standard-normal"] = "standard-normal"


class VampConfig(Config):
    """A `Vamp` of so many learned `pseudo_inputs`; it needs kl="monte-carlo" in the objective."""

    kind = "name"
    name: Literal["vamp"] = "vamp"
    pseudo_inputs: PositiveInt = 500


FlowKind = Literal["spline", "coupling"]


class FlowConfig(Config):
    """A `Flow` of one kind and so many `transforms`; it needs kl="monte-carlo" in the objective."""

    kind = "name"
    name: Literal["flow"] = "flow"
    flow: FlowKind = "spline"
    transforms: PositiveInt = 3


PriorConfig = Annotated[StandardNormalConfig | VampConfig | FlowConfig, Field(discriminator="name")]
"""Which p(z) a model is trained with: the settings of one of the kinds."""


class Prior(nn.Module, ABC):
    """What every prior offers. Z is the latent dimension."""

    latent_dim: int
    entries: tuple[int, ...] | None = None
    """How many values each dimension has, where z is made of whole numbers; None where it is made of real ones."""

    @abstractmethod
    def log_prob(self, z: Tensor) -> Tensor:
        """log p(z) in nats: (..., Z) -> (...)."""

    @abstractmethod
    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """n draws from p(z): (n, Z)."""

    def kl(self, mean: Tensor, log_var: Tensor) -> Tensor | None:
        """KL(N(mean, e^log_var) || p(z)) per dimension in nats, (..., Z), or None if there is no closed form."""
        return None


def make_prior(config: Config, latent_dim: int, pixels: int, encoder: nn.Module) -> Prior:
    """The prior that `config` describes, over codes of `latent_dim` that `encoder` makes of `pixels`."""
    if isinstance(config, VampConfig):
        return Vamp(encoder, pixels, latent_dim, config.pseudo_inputs)
    if isinstance(config, FlowConfig):
        return Flow(latent_dim, config.transforms, kind=config.flow)
    return StandardNormal(latent_dim)


def with_prior(model: Model, prior: Prior) -> Model:
    """A copy of the model that has `prior` as its p(z). Its `config` still names the prior that it was trained with.

    Raises:
        ValueError: the prior has another number of dimensions, or of values in them.
    """
    if prior.latent_dim != model.prior.latent_dim:
        raise ValueError(
            f"a prior over {prior.latent_dim} dimensions does not fit a model that has {model.prior.latent_dim}"
        )
    if prior.entries != model.prior.entries:
        found, wanted = (one.entries or "real numbers" for one in (prior, model.prior))
        raise ValueError(f"a prior over {found} does not fit a model whose codes are {wanted}")
    twin = copy.deepcopy(model)
    twin.prior = prior
    return twin.eval()


class StandardNormal(Prior):
    """p(z) = N(0, I), Kingma & Welling 2013, section 3."""

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        self._like: Tensor
        self.register_buffer("_like", torch.zeros(()), persistent=False)  # knows the model's device and dtype

    def log_prob(self, z: Tensor) -> Tensor:
        return gaussian_log_prob(z, torch.zeros_like(z), torch.zeros_like(z))

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        return normal((n, self.latent_dim), self._like, generator)

    def kl(self, mean: Tensor, log_var: Tensor) -> Tensor:
        return gaussian_kl(mean, log_var)


class Tempered(StandardNormal):
    """p(z) = N(0, temperature^2 I): below 1 samples gather round the origin, above 1 they are drawn more widely.

    Raises:
        ConfigError: for a temperature that is not positive.
    """

    def __init__(self, latent_dim: int, temperature: float) -> None:
        super().__init__(latent_dim)
        if not 0 < temperature < math.inf:
            raise ConfigError(f"temperature={temperature}: expected a positive number, such as 0.7")
        self.temperature = temperature

    def log_prob(self, z: Tensor) -> Tensor:
        return super().log_prob(z / self.temperature) - z.shape[-1] * math.log(self.temperature)

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        return self.temperature * super().sample(n, generator)

    def kl(self, mean: Tensor, log_var: Tensor) -> Tensor:
        return gaussian_kl(mean / self.temperature, log_var - 2 * math.log(self.temperature))


class Vamp(Prior):
    """p(z) = 1/K sum_k q(z | u_k), Tomczak & Welling 2018, equation 9; u (K, D) are learned pseudo-inputs in (0, 1).

    `encoder` is the model's own: the prior looks at it, and does not count it among its parameters.
    """

    def __init__(self, encoder: nn.Module, pixels: int, latent_dim: int, pseudo_inputs: int) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        self.logits = nn.Parameter(torch.randn(pseudo_inputs, pixels))
        self._encoder = (encoder,)  # in a tuple, so that torch does not take it for a part of the prior

    def components(self) -> tuple[Tensor, Tensor]:
        """Mean and log-variance of each component: (K, Z), (K, Z)."""
        return self._encoder[0](torch.sigmoid(self.logits))

    def log_prob(self, z: Tensor) -> Tensor:
        mean, log_var = self.components()
        return torch.logsumexp(gaussian_log_prob(z[..., None, :], mean, log_var), -1) - math.log(len(mean))

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        mean, log_var = self.components()
        k = torch.randint(len(mean), (n,), generator=generator, device=mean.device)
        return reparameterise(mean[k], log_var[k], 1, generator).squeeze(0)


class Flow(Prior):
    """p(z) = N(f(z); 0, I) |det df/dz|, with f of so many `transforms`, whose networks have two layers of `width`.

    "spline" is a neural spline flow, autoregressive, so that it draws in Z passes (Durkan et al. 2019). Each of its
    transforms is the identity outside [-5, 5]. "coupling" is RealNVP, which draws in one pass (Dinh et al. 2017).

    Raises:
        ConfigError: a coupling flow over one dimension, which has no second half to couple to.
    """

    def __init__(self, latent_dim: int, transforms: int = 3, width: int = 64, *, kind: FlowKind = "spline") -> None:
        from zuko.flows import NSF, RealNVP

        super().__init__()
        if kind == "coupling" and latent_dim < 2:
            raise ConfigError("a coupling flow needs latent_dim=2 or more: use flow='spline' for one")
        self.latent_dim = latent_dim
        flows = {"spline": NSF, "coupling": RealNVP}
        self.flow = flows[kind](latent_dim, transforms=transforms, hidden_features=(width, width))

    def log_prob(self, z: Tensor) -> Tensor:
        base, log_det = self.flow().transform.call_and_ladj(z)
        return gaussian_log_prob(base, torch.zeros_like(base), torch.zeros_like(base)) + log_det

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        base = normal((n, self.latent_dim), next(self.parameters()), generator)
        inverse = self.flow().transform.inv
        return torch.cat([inverse(part) for part in base.split(CODES_AT_ONCE)])


class Mixture(Prior):
    """p(z) = sum_k w_k N(z; mean_k, L_k L_k^T), with weights w (K,), means (K, Z) and Cholesky factors L (K, Z, Z).

    The log of each term is a polynomial of degree two in z, so one product of the `coefficients`
    (K, Z (Z + 1) / 2 + Z) with the monomials of all codes gives all of them. It is taken in double precision: terms
    much larger than their sum cancel.
    """

    log_weights: Tensor
    means: Tensor
    factors: Tensor
    coefficients: Tensor
    constants: Tensor

    def __init__(self, weights: ArrayLike, means: ArrayLike, factors: ArrayLike) -> None:
        super().__init__()
        weights, means, factors = (np.asarray(a, dtype=np.float64) for a in (weights, means, factors))
        k, z = np.shape(means)
        if weights.shape != (k,) or factors.shape != (k, z, z):
            raise ConfigError(
                f"a mixture of {k} components in {z} dimensions has weights ({k},) and factors ({k}, {z}, {z}); these "
                f"are {weights.shape} and {factors.shape}"
            )
        self.latent_dim = z
        with np.errstate(divide="ignore"):
            log_weights = np.log(weights / weights.sum())
        for name, array in {"log_weights": log_weights, "means": means, "factors": factors}.items():
            self.register_buffer(name, torch.from_numpy(np.ascontiguousarray(array)).float())
        inverses = np.linalg.inv(factors)  # (K, Z, Z)
        precisions = inverses.transpose(0, 2, 1) @ inverses
        linear = (precisions @ means[..., None]).squeeze(-1)  # (K, Z)
        rows, columns = np.triu_indices(z)
        quadratic = precisions[:, rows, columns] * np.where(rows == columns, -0.5, -1.0)
        log_scales = np.log(inverses.diagonal(axis1=1, axis2=2)).sum(1) - 0.5 * z * np.log(2 * np.pi)
        constants = log_weights + log_scales - 0.5 * (linear * means).sum(1)
        self.register_buffer("coefficients", torch.from_numpy(np.hstack([quadratic, linear])))
        self.register_buffer("constants", torch.from_numpy(constants[:, None]))

    def log_prob(self, z: Tensor) -> Tensor:
        codes = z.reshape(-1, self.latent_dim).split(CODES_AT_ONCE)
        return torch.cat([self._log_prob(part) for part in codes]).reshape(z.shape[:-1])

    def _log_prob(self, z: Tensor) -> Tensor:
        exact = z.to(self.coefficients.dtype).T.contiguous()  # (Z, N): rows of the monomials are products of rows
        monomials = torch.cat([*(exact[i] * exact[i:] for i in range(self.latent_dim)), exact])
        return torch.logsumexp(torch.addmm(self.constants, self.coefficients, monomials).to(z.dtype), 0)

    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        k = torch.multinomial(self.log_weights.exp(), n, replacement=True, generator=generator)
        return self.means[k] + (self.factors[k] @ normal((n, self.latent_dim, 1), self.means, generator)).squeeze(-1)


class MixtureFit(NamedTuple):
    """The mixture, its size, and the mean held-out log-density, in nats, of each number of components tried."""

    prior: Mixture
    components: int
    scores: dict[int, float]

    @property
    def at_edge(self) -> bool:
        """Whether the best or the chosen size is the largest tried, or the smallest and not 1: others may be better."""
        edges = {min(self.scores), max(self.scores)} - {1} if self.scores else set()
        return bool(edges & {self.components, max(self.scores, key=lambda k: self.scores[k], default=0)})


def fit_mixture(
    codes: Tensor,
    held_out: Tensor,
    components: Sequence[int] = (1, 2, 5, 10, 20, 40, 80, 160),
    *,
    fits: int = 1,
    narrowest: float = 0.14,
    seed: int = 0,
) -> MixtureFit:
    """Mixtures fitted to codes (N, Z); the size that is as good as any on `held_out` (M, Z) is then fitted to both.

    That is the smallest number of components whose mean log-density lies within one standard error of the best (see
    `one_standard_error`). A mixture has full covariances and is fitted by EM; with several `fits` it is the average of
    so many mixtures, from different starts, and has so many times the components. `narrowest` is the least standard
    deviation that a component may have in any direction. Fitting a density to the codes after training is the "ex-post"
    estimation of Ghosh et al. 2020, section 4. With one size there is nothing to choose, and no score.

    Warns:
        UserWarning: the best or the chosen size lies at an edge of those tried.

    Raises:
        ConfigError: no size, more components than codes or fewer than one, no fit, or too few held-out codes to choose.
    """
    if not components or fits < 1:
        raise ConfigError(f"components={tuple(components)}, fits={fits}: expected one size and one fit, or more")
    for k in components:
        if not 1 <= k <= len(codes):
            raise ConfigError(f"components={k}: expected a number from 1 to {len(codes)}, the number of codes")
    both = torch.cat([codes, held_out])
    if len(components) == 1:
        return MixtureFit(_average_of_fits(both, components[0], fits, narrowest, seed), components[0], {})
    if len(held_out) < 2:
        raise ConfigError(f"{len(held_out)} held-out codes: choosing among {len(components)} sizes needs at least 2")
    candidates = {k: _average_of_fits(codes, k, fits, narrowest, seed) for k in components}
    log_probs = {k: prior.log_prob(held_out).double() for k, prior in candidates.items()}
    chosen = one_standard_error(log_probs)
    scores = {k: values.mean().item() for k, values in log_probs.items()}
    found = MixtureFit(_average_of_fits(both, chosen, fits, narrowest, seed), chosen, scores)
    if found.at_edge:
        tried = ", ".join(map(str, sorted(scores)))
        message = f"the best number of components may lie outside of those tried ({tried}); chosen: {chosen}"
        warnings.warn(message, stacklevel=2)
    return found


def one_standard_error(scores: Mapping[int, Tensor]) -> int:
    """The smallest size whose mean score lies within one standard error of the best: size -> scores (M,), M > 1.

    The standard error is that of the best size's own mean, over the M held-out cases (Breiman et al. 1984, section
    3.4.3): a difference that small may be chance, and the smaller model is the safer one.
    """
    means = {size: values.double().mean().item() for size, values in scores.items()}
    best = max(means, key=lambda size: means[size])
    error = scores[best].double().std().item() / math.sqrt(len(scores[best]))
    return min(size for size, mean in means.items() if mean >= means[best] - error)


def _average_of_fits(codes: Tensor, components: int, fits: int, narrowest: float, seed: int) -> Mixture:
    """The average of several mixtures is a mixture of all their components."""
    from sklearn.mixture import GaussianMixture
    from threadpoolctl import threadpool_limits

    x, floor = codes.detach().cpu().numpy(), narrowest**2
    mixtures = [GaussianMixture(components, tol=ENOUGH, reg_covar=floor, random_state=seed + i) for i in range(fits)]
    with threadpool_limits(1):  # EM is many small products: threads that wait for each other only slow it down
        members = [mixture.fit(x) for mixture in mixtures]
    return Mixture(
        np.concatenate([member.weights_ for member in members]),
        np.concatenate([member.means_ for member in members]),
        np.linalg.cholesky(np.concatenate([member.covariances_ for member in members]).astype(np.float64)),
    )
