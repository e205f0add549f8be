"""What a VAE maximises: the ELBO and its relatives, one figure per image, in nats.

Signs: `elbo` is a lower bound of log p(x) and is maximised; `reconstruction` is E_q[log p(x|z)] (usually negative for
Bernoulli pixels); `kl` is a divergence and never negative; elbo = reconstruction - kl. The distortion of the
rate-distortion literature is -reconstruction, its rate is kl.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import torch
from torch import Tensor

from vaelib.config import ConfigError, pick
from vaelib.posteriors import HasKL, Posterior

if TYPE_CHECKING:
    from vaelib.models.base import LatentVariableModel
    from vaelib.models.vae import VAE

__all__ = ["KL", "Estimator", "Loss", "Pathwise", "Terms", "analytic_kl", "beta_at", "bits_per_dim", "dream", "elbo"]
__all__ += ["free_bits_kl", "importance_weighted_bound"]

KL = Literal["analytic", "monte-carlo"]
Estimator = Literal["plain", "stl", "dreg"]
"""How the gradient of a bound reaches the encoder; the bound itself is the same. See `importance_weighted_bound`."""
Loss = Callable[[Tensor, float, "torch.Generator | None"], Mapping[str, Tensor]]
"""What is minimised: (batch (B, D), epoch, generator) -> figures per example, (B,) or (), with "loss" among them."""


class Terms(NamedTuple):
    """The ELBO and its two terms, each (B,), in nats: elbo = reconstruction - kl."""

    elbo: Tensor
    reconstruction: Tensor
    kl: Tensor


def elbo(
    model: VAE,
    x: Tensor,
    *,
    samples: int = 1,
    kl: KL = "analytic",
    generator: torch.Generator | None = None,
    posterior: Posterior | None = None,
) -> Terms:
    """The evidence lower bound of each image, x (B, D) -> Terms of (B,), estimated with `samples` draws of z.

    With the KL in closed form this is estimator B of Kingma & Welling 2013 (equation 7), else estimator A (equation 6).
    With a `posterior`, the q(z|x) of images that are known already, they are not checked again.

    Raises:
        ValueError: for images that the model cannot learn, and for kl="analytic" where it has no closed form.
    """
    if posterior is None:
        model.check(x)
        posterior = model.posterior(x)
    pick("kl", kl, ("analytic", "monte-carlo"))
    z = posterior.sample(samples, generator)  # (S, B, Z)
    reconstruction = model.likelihood.log_prob(x, model.decode(z)).mean(0)
    if kl == "monte-carlo":
        divergence = (posterior.log_prob(z) - model.prior.log_prob(z)).mean(0)
    else:
        divergence = analytic_kl(model, posterior).sum(-1)
    return Terms(reconstruction - divergence, reconstruction, divergence)


def analytic_kl(model: VAE, posterior: Posterior) -> Tensor:
    """KL(q(z|x) || p(z)) per dimension, nats, (B, Z).

    Raises:
        ValueError: it has no closed form.
    """
    divergence = posterior.kl(model.prior)
    if divergence is None:
        names = f"{type(posterior).__name__} to the prior {type(model.prior).__name__}"
        raise ValueError(f"the KL of a {names} has no closed form: use kl='monte-carlo'")
    return divergence


def importance_weighted_bound(
    model: LatentVariableModel,
    x: Tensor,
    samples: int,
    generator: torch.Generator | None = None,
    *,
    estimator: Estimator = "plain",
    posterior: Posterior | None = None,
) -> Tensor:
    """E[log 1/K sum_k p(x, z_k) / q(z_k|x)] with K = `samples`, nats: (B, D) -> (B,). Burda et al. 2016, equation 8.

    A lower bound of log p(x) that is the ELBO at K = 1 and tightens as K grows. `estimator` changes no value, only the
    gradient of the encoder; that of decoder and prior is the usual one:

    - "plain": all of it, as it follows from the formula.
    - "stl": without the score of q, "sticking the landing" (Roeder et al. 2017). Less noise near the optimum, and none
      where q is exact. Unbiased for K = 1, biased for K > 1.
    - "dreg": each draw's part of "stl" once more times its normalised weight, which makes it unbiased for every K
      ("doubly reparameterised", Tucker et al. 2019).

    With a `posterior`, the q(z|x) of images that are known already, they are not checked again.

    Raises:
        ValueError: for images that the model cannot learn, and for a posterior that "stl" and "dreg" cannot take apart.
    """
    pick("estimator", estimator, get_args(Estimator))
    if posterior is None:
        model.check(x)
    drawn = None if estimator == "plain" else Pathwise(posterior or model.posterior(x))
    log_w = model.log_weights(x, samples, generator, drawn or posterior)
    if drawn and estimator == "dreg":
        drawn.factors = torch.softmax(log_w.detach(), 0)
    return torch.logsumexp(log_w, 0) - math.log(samples)


class Pathwise:
    """A posterior whose gradient passes the draws alone: in log q(z|x) its parameters count as constants.

    A gradient that comes back to the draws is multiplied by `factors`, (samples, B), if these are set by then.

    Raises:
        ConfigError: the posterior has no `detach`, which gives its density with constant parameters.
    """

    def __init__(self, posterior: Posterior) -> None:
        detach = getattr(posterior, "detach", None)
        if detach is None:
            raise ConfigError(
                f"estimators 'stl' and 'dreg' need log q(z|x) with its parameters held constant, and "
                f"{type(posterior).__name__} has no detach(): choose estimator='plain'"
            )
        self.posterior, self.constant = posterior, detach()
        self.factors: Tensor | None = None

    def sample(self, samples: int = 1, generator: torch.Generator | None = None) -> Tensor:
        z = self.posterior.sample(samples, generator)
        if z.requires_grad:
            z.register_hook(lambda gradient: gradient if self.factors is None else gradient * self.factors[..., None])
        return z

    def log_prob(self, z: Tensor) -> Tensor:
        return self.constant.log_prob(z)

    def kl(self, prior: HasKL) -> None:
        """A closed form has no draws that a gradient could pass."""
        return None


@torch.no_grad()
def dream(model: VAE, n: int, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
    """n dreams: z from the prior, (n, Z), and x from p(x|z), (n, D).

    That the encoder finds z in x, log q(z|x), is what the sleep phase of wake-sleep teaches it (Hinton et al. 1995).
    """
    z = model.prior.sample(n, generator)
    return z, model.likelihood.sample(model.decode(z), generator)


def free_bits_kl(kl_per_dim: Tensor, free_bits: float) -> Tensor:
    """sum_j max(free_bits, batch mean of KL_j), nats: (B, Z) -> (). Kingma et al. 2016, appendix C.8."""
    return kl_per_dim.mean(0).clamp(min=free_bits).sum()


def beta_at(epoch: float, beta: Any, warmup_epochs: Any) -> Any:
    """The KL weight after `epoch` passes (fractions count): linear warm-up from 0 to `beta`. Bowman et al. 2016.

    Floats give a float. Tensors, as models that are trained together have, give a tensor.
    """
    if isinstance(warmup_epochs, Tensor):
        return beta * torch.where(warmup_epochs > 0, epoch / warmup_epochs, 1.0).clamp(max=1)
    return beta * (min(1.0, epoch / warmup_epochs) if warmup_epochs else 1.0)


def bits_per_dim(log_prob: Tensor | float, dims: int, *, density: bool) -> Tensor | float:
    """Bits per dimension of 8-bit data from log p(x) in nats, summed over `dims` pixels.

    A log-density of pixels scaled to [0, 1] (`density`) becomes one per grey level: each pixel costs log2(255) bits
    more, as levels are 1/255 apart. The log-probability of a discretised likelihood is used as it stands. Theis et al.
    2016, section 3.1.
    """
    bits = -log_prob / (dims * math.log(2))
    return bits + math.log2(255) if density else bits
