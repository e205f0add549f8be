"""The figures of one model that a diagnosis rests on: `Evidence` of a VAE, `GameEvidence` of a GAN."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from vaelib.evaluation import active_units, directions_in_use, encode, expected_error, squared_error
from vaelib.likelihoods import Bernoulli
from vaelib.linear import eigenvalues
from vaelib.models import GAN, VAE, GANObjective, ObjectiveConfig
from vaelib.models.gan import losses_of_scores
from vaelib.objectives import beta_at
from vaelib.posteriors import DiagonalGaussian, gaussian_kl
from vaelib.training import TrainingConfig

__all__ = ["Collapse", "Evidence", "GameEvidence", "Past", "collect", "examine"]

Array = NDArray[np.float64]
Collapse = Literal["none", "partial", "whole"]

ENOUGH = 10_000  # training images of a VAE looked at,
ENOUGH_OF_A_GAME = 2000  # and images and samples of a GAN
MARGIN = 1.5  # a direction that varies by so many times its price clearly pays: by 0.2 nats
NO_REACTION = 0.01  # of a hidden unit: the slope of its activation, averaged over images, and the range of its output
LAST = 0.2  # share of the learning rate's sum over the epochs
IDLE = 0.1  # nats
BARS = "▁▂▃▄▅▆▇█"
NARROW, WIDE, SHIFTED = 0.5, 2.0, 0.1  # samples beyond these are evidently not like the images


class Past(NamedTuple):
    """What is known of a training; None is unknown."""

    history: pd.DataFrame | None = None
    objective: ObjectiveConfig | None = None
    training: TrainingConfig | None = None


@dataclass(frozen=True)
class Evidence:
    """Figures of one model; errors are |x - E[x|z]|^2 summed over pixels, KL in nats per image."""

    images: int
    pixels: int
    kl: float  # the mean KL(q(z|x) || p(z)); by Monte Carlo where it has no `closed_form`
    kl_per_dim: Array  # its parts; without a closed form to the Gaussian that fits the codes in each dimension
    closed_form: bool
    active: NDArray[np.bool_]
    directions: int  # in which the posterior means vary (variance > 0.01), however they lie to the axes of z
    worth: int  # so many latents would linear theory keep at the model's sigma and beta,
    worth_at_sigma: int  # at its sigma and beta = 1,
    worth_at_beta: int  # at its beta and the sigma of its own errors,
    worth_fair: int  # and at that sigma and beta = 1, counting those alone that clearly pay
    linear_kl: float  # of the best linear model, at this beta, and this sigma or the fair one, whichever makes it less
    train_error: float
    error: float
    average_image_error: float
    sigma: float | None  # of a pixel: from the harmonic mean of the variances; None for Bernoulli pixels
    error_sigma: float  # root of the mean squared error of a pixel, the noise of z included: what sigma should be
    beta: float  # at the end of the training, taken as 1 unless known
    beta_known: bool
    silent: dict[str, float]  # layer -> share of its units that no longer react
    identical: bool = False  # the training images are all the same
    epochs: int = 0  # until the model had its weights
    last_fifth: float | None = None  # share of the gain that came with the last fifth of the learning
    best_epoch: int | None = None  # of the held-out loss,
    fell: float = 0.0  # which rose by so many nats after it,
    gain: float = 0.0  # and had fallen by so many until then

    @property
    def latents(self) -> int:
        return len(self.kl_per_dim)

    def verdict(self, collapse: Collapse, causes: list[str]) -> str:
        """All of it in one line, given what it was found to be and the names of the causes."""
        if collapse == "whole":
            same, cheap = "is the same for all images", f"of an image costs {self.kl:.2f} nats, less than one bit"
            return f"collapsed: the code {cheap if self.directions else same}"
        if collapse == "partial":
            return f"partly collapsed: {self.directions} of {self.latents} latent directions are in use"
        if not causes:
            return f"healthy: the code of an image costs {self.kl:.1f} nats"
        return f"no collapse, but there is something to improve: {', '.join(causes)}"

    def facts(self, collapse: Collapse) -> dict[str, str]:
        """What was measured, in words."""
        kl = np.sort(self.kl_per_dim)[::-1]
        shown = " ".join(f"{value:.2f}" for value in kl[:8]) + (" ..." if self.latents > 8 else "")
        full = max(float(kl.max()), 1.0)  # nats
        bars = "".join(BARS[min(int(8 * value / full), 7)] for value in kl[:40])
        to = "" if self.closed_form else "  (to the codes' spread in each: to this prior it does not split)"
        fair = f", {self.worth_fair} at a fair sigma and beta" if self.worth < self.worth_fair else ""
        facts = {
            "KL by dimension": f"{shown} nats  {bars}{to}",
            "directions in use": f"{self.directions} of {self.latents}; worth a latent by linear theory: "
            f"{self.worth}{fair}",
            "active units": f"{int(self.active.sum())} of {self.latents}",
            "squared error": f"{self.error:.3g} held out, {self.train_error:.3g} in training; the average image costs "
            f"{self.average_image_error:.3g}",
        }
        if self.sigma is not None:
            facts["sigma"] = f"{self.sigma:.3g}; the errors, with the noise of z, say {self.error_sigma:.3g}"
        if not self.beta_known or self.beta != 1:
            facts["beta"] = f"{self.beta:.3g}" if self.beta_known else "unknown, taken as 1"
        if collapse == "none" and (idle := int((kl < IDLE).sum())):
            facts["idle"] = f"{idle} of {self.latents} latents cost less than {IDLE} nats: no harm in itself"
        return facts


class GameEvidence(NamedTuple):
    """Figures of one GAN. Variances and squared distances are summed over pixels.

    `seen_through` is the share of pairs, an image and a sample, of which the critic scores the image higher. `signal`
    is by how much the generator's loss would change, at the slope that samples meet, over the root mean squared
    distance between two images. `variety` is the variance of samples over that of the images, `shift` the squared
    distance of their means over the latter.
    """

    seen_through: float
    signal: float
    variety: float
    shift: float

    @property
    def astray(self) -> bool:
        """Whether samples are evidently unlike the images: a critic could say so."""
        return not (NARROW <= self.variety <= WIDE and self.shift <= SHIFTED)

    def verdict(self, collapse: Collapse, causes: list[str]) -> str:
        """All of it in one line. No trouble found is no praise: how good samples are, only a judge of pictures says."""
        if not causes:
            return "no fault found: the critic teaches, and samples vary"
        return f"the game has failed: {', '.join(causes)}"

    def facts(self, collapse: Collapse) -> dict[str, str]:
        """What was measured, in words."""
        return {
            "seen through": "the critic prefers an image to a sample in "
            f"{self.seen_through:.0%} of pairs (a draw is 50%)",
            "signal": f"{self.signal:.3g} nats of the generator's loss over the distance between two images",
            "variety": f"samples have {self.variety:.0%} of the images' variance",
            "shift": f"the mean sample lies {self.shift:.0%} of that variance away from the mean image",
        }


def collect(model: VAE, train: Tensor, held_out: Tensor, past: Past) -> Evidence:
    """All the figures of a VAE; `held_out` judges, `train` says what there was to learn."""
    images, pixels = train.shape
    train = train[torch.linspace(0, images - 1, min(images, ENOUGH)).long()]
    course, (_, objective, training), beta = _course(past), past, 1.0
    if objective:
        epochs = course.get("epochs", training.epochs if training else math.inf)
        beta = beta_at(epochs, objective.beta, objective.warmup_epochs)
    kl, kl_per_dim, closed_form = _divergence(model, held_out)
    latents = len(kl_per_dim)

    def spectrum(noise: Tensor) -> Array:  # of x / noise^(1/2): a collapsed model is unstable where it is above beta
        return eigenvalues((train * torch.where(noise > 0, noise, math.inf).rsqrt()).numpy())

    def worth(values: Array, price: float) -> int:
        return min(latents, int((values > price).sum()))

    bernoulli = isinstance(model.likelihood, Bernoulli)
    noise, errors = _noise(model, train), expected_error(model, train)
    own = spectrum(noise)
    fair = own if bernoulli else spectrum(torch.full_like(noise, errors / pixels))
    paid = [np.maximum(values[:latents] / max(beta, 1.0), 1.0) for values in (own, fair)]  # see `linear.predict`
    return Evidence(
        images=images, pixels=pixels, kl=kl, kl_per_dim=kl_per_dim, closed_form=closed_form,
        active=active_units(model, held_out).numpy(), directions=directions_in_use(model, held_out),
        worth=worth(own, beta), worth_at_sigma=worth(own, 1.0), worth_at_beta=worth(fair, beta),
        worth_fair=worth(fair, MARGIN), linear_kl=min(float(0.5 * np.log(part).sum()) for part in paid),
        train_error=squared_error(model, train).mean().item(), error=squared_error(model, held_out).mean().item(),
        average_image_error=(held_out - train.mean(0)).square().sum(-1).mean().item(),
        sigma=None if bernoulli else float((1 / noise).mean() ** -0.5), error_sigma=math.sqrt(errors / pixels),
        beta=beta, beta_known=objective is not None, silent=_silent(model, train[:1000]),
        identical=bool((train == train[0]).all()), **course,
    )  # fmt: skip


@torch.no_grad()
def _divergence(model: VAE, x: Tensor) -> tuple[float, Array, bool]:
    """KL(q(z|x) || p(z)) in nats, its mean over x (N, D); its parts (Z,); and whether it has a closed form."""
    q = DiagonalGaussian(*encode(model, x))
    parts = q.kl(model.prior)  # (N, Z)
    if parts is not None:
        per_dim = parts.double().mean(0)
        return per_dim.sum().item(), per_dim.numpy(), True
    z = q.sample(1, torch.Generator().manual_seed(0))[0]
    log_p = torch.cat([model.prior.log_prob(part) for part in z.split(128)])
    variance = q.mean.var(0) + q.log_var.exp().mean(0)  # of all codes together
    to_codes = gaussian_kl((q.mean - q.mean.mean(0)) / variance.sqrt(), q.log_var - variance.log())
    return (q.log_prob(z) - log_p).double().mean().item(), to_codes.double().mean(0).numpy(), False


@torch.no_grad()
def _noise(model: VAE, x: Tensor) -> Tensor:
    """The variance that p(x|z) gives each pixel, (D,); of Bernoulli pixels that of a model that ignores z."""
    if isinstance(model.likelihood, Bernoulli):
        return x.mean(0) * (1 - x.mean(0))
    x = x[:1000]
    variance = model.likelihood.variance(model.decode(model.codes(x)))
    return variance.expand(x.shape).reciprocal().mean(0).reciprocal()


def _silent(model: VAE, x: Tensor) -> dict[str, float]:
    """Layer -> share of its units that say the same of all images x and pass no gradient: dead ReLUs, stuck tanhs."""
    shares = {}
    for part, body, h in (("encoder", model.encoder.body, x), ("decoder", model.decoder.body, model.codes(x))):
        for i in range(0, len(body), 2):
            inputs = body[i](h).detach().requires_grad_()
            h = body[i + 1](inputs)
            (slope,) = torch.autograd.grad(h.sum(), inputs)
            silent = (slope.abs().mean(0) < NO_REACTION) & (h.std(0) < NO_REACTION)
            shares[f"{part} layer {i // 2 + 1}"] = float(silent.float().mean())
    return shares


def _course(past: Past) -> dict[str, Any]:
    """What a history (a row an epoch) tells for `Evidence`, up to the epoch whose weights the model has.

    With `patience` that is the best one; where it ran out, nothing more was to be gained.
    """
    history, objective, training = past
    if history is None:
        return {}
    kept = int(history["kept"].argmax()) + 1 if "kept" in history else len(history)
    facts: dict[str, Any] = {"epochs": kept}
    learned = _maximised(history[:kept], "train", objective)
    if learned is None:
        return facts
    patience = training.patience if training else None
    if patience and len(history) - kept >= patience:
        facts["last_fifth"] = 0.0
    elif kept > 1:
        facts["last_fifth"] = _last_fifth(learned, training)
    names = [str(column).removesuffix("_loss") for column in history if str(column).endswith("_loss")]
    judged = _maximised(history[:kept], next((name for name in names if name != "train"), ""), objective)
    start = objective.settled_epochs if objective else 0  # until then the loss rises with beta
    dreaming = objective is not None and objective.algorithm == "wake-sleep"
    if judged is not None and kept > start + 1 and not dreaming:
        best = start + int(judged[start:].argmax())
        facts |= {"best_epoch": best + 1, "fell": float(judged[best] - judged[-1])}
        facts["gain"] = float(judged[best] - judged[0])
    return facts


def _maximised(history: pd.DataFrame, name: str, objective: ObjectiveConfig | None) -> Array | None:
    """What was maximised, by epoch, nats: under a warm-up at the last beta; if unknown or wake-sleep, the ELBO."""
    if objective is None or objective.algorithm == "wake-sleep":
        return history[f"{name}_elbo"].to_numpy() if f"{name}_elbo" in history else None
    if objective.warmup_epochs and f"{name}_kl" in history:
        return (history[f"{name}_reconstruction"] - objective.beta * history[f"{name}_kl"]).to_numpy()
    return -history[f"{name}_loss"].to_numpy() if f"{name}_loss" in history else None


def _last_fifth(maximised: Array, training: TrainingConfig | None) -> float:
    """The share of the gain that the last fifth of the learning brought; under a cosine that is half of the epochs."""
    spent = np.arange(1.0, len(maximised) + 1)
    if training and training.schedule == "cosine":
        done = spent / training.epochs
        spent = done + np.sin(np.pi * done) / np.pi  # the integral of 1 + cos
    start = max(0, int((spent <= (1 - LAST) * spent[-1] + 1e-9).sum()) - 1)
    total = maximised[-1] - maximised[0]
    return float((maximised[-1] - maximised[start]) / total) if total > 0 else 0.0


def examine(model: GAN, x: Tensor, objective: GANObjective, seed: int = 0) -> GameEvidence:
    """All the figures of a GAN beside images x (N, D), two or more, and as many samples."""
    x = x[:ENOUGH_OF_A_GAME]
    samples = model.sample(len(x), torch.Generator().manual_seed(seed)).requires_grad_()
    real, fake = model.critic(x), model.critic(samples)
    loss = losses_of_scores(objective.loss, real.detach(), fake)[1]
    (slope,) = torch.autograd.grad(loss.sum(), samples)
    drawn, variance = samples.detach(), x.var(0).sum().clamp(min=1e-12)
    above = (real[:, None] > fake).double() + 0.5 * (real[:, None] == fake)
    return GameEvidence(
        seen_through=above.mean().item(),
        signal=slope.square().sum(-1).mean().sqrt().item() * math.sqrt(2 * variance.item()),
        variety=(drawn.var(0).sum() / variance).item(),
        shift=((x.mean(0) - drawn.mean(0)).square().sum() / variance).item(),
    )
