"""What ails a trained VAE: does it use its latents, if not why, and what to try. A GAN is examined by `games`.

>>> diagnose(run)                                   # a finished run of the store
>>> diagnose_model(model, train, held_out)          # or a model and images, with as much of its past as there is
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from vaelib.config import ConfigError
from vaelib.evaluation import active_units, directions_in_use, encode, expected_error, squared_error
from vaelib.games import GameDiagnosis, diagnose_game
from vaelib.likelihoods import Bernoulli, LikelihoodConfig
from vaelib.linear import eigenvalues
from vaelib.models import GAN, VAE, GANObjective, ObjectiveConfig
from vaelib.objectives import beta_at
from vaelib.posteriors import DiagonalGaussian, gaussian_kl
from vaelib.reports import Cause, CauseName, Report
from vaelib.runs import Run, RunConfig, data_of
from vaelib.training import TrainingConfig

__all__ = ["Cause", "Diagnosis", "Evidence", "diagnose", "diagnose_model"]

Collapse = Literal["none", "partial", "whole"]
EXPLAINS: set[CauseName] = {"scale", "KL weight", "dead units", "variance", "optimiser"}
Array = NDArray[np.float64]

ENOUGH = 10_000  # training images looked at
MARGIN = 1.5  # a direction that varies by so many times its price clearly pays: by 0.2 nats
NO_REACTION = 0.01  # of a hidden unit: the slope of its activation, averaged over images, and the range of its output
SILENT = 0.9  # share of a layer's units; tanh networks do well with half of theirs stuck
IDLE, ONE_BIT = 0.1, 0.693  # nats
OFF = 1.5  # a learned sigma is off if it is so many times what the errors say
FEW = 0.25  # of the KL of a linear model: sound models that bend theirs pay a third of it, or more
OVERFITS = 1.5  # held-out error over training error
FELL = 0.01  # share of the held-out loss's gain that was lost again, and at least a nat
LAST = 0.2  # share of the learning rate's sum over the epochs
UNFINISHED = {"constant": 0.02, "cosine": 0.15}  # share of the gain that the last fifth of the learning brought. A
# falling rate takes the noise of the steps away, too: up to 0.12 in runs that are over (0.2 is undiminished progress).
BARS = "▁▂▃▄▅▆▇█"


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


@dataclass(frozen=True, repr=False)
class Diagnosis(Report):
    """The `collapse`, the likely `causes` of it or of other trouble, and the `evidence`."""

    name: str
    collapse: Collapse
    causes: tuple[Cause, ...]
    evidence: Evidence

    @property
    def healthy(self) -> bool:
        return self.collapse == "none" and not self.causes

    @property
    def verdict(self) -> str:
        e = self.evidence
        if self.collapse == "whole":
            same, cheap = "is the same for all images", f"of an image costs {e.kl:.2f} nats, less than one bit"
            return f"collapsed: the code {cheap if e.directions else same}"
        if self.collapse == "partial":
            return f"partly collapsed: {e.directions} of {e.latents} latent directions are in use"
        if self.healthy:
            return f"healthy: the code of an image costs {e.kl:.1f} nats"
        return f"no collapse, but there is something to improve: {', '.join(cause.name for cause in self.causes)}"

    def facts(self) -> dict[str, str]:
        e = self.evidence
        kl = np.sort(e.kl_per_dim)[::-1]
        shown = " ".join(f"{value:.2f}" for value in kl[:8]) + (" ..." if e.latents > 8 else "")
        full = max(float(kl.max()), 1.0)  # nats
        bars = "".join(BARS[min(int(8 * value / full), 7)] for value in kl[:40])
        to = "" if e.closed_form else "  (to the codes' spread in each: to this prior it does not split)"
        fair = f", {e.worth_fair} at a fair sigma and beta" if e.worth < e.worth_fair else ""
        facts = {
            "KL by dimension": f"{shown} nats  {bars}{to}",
            "directions in use": f"{e.directions} of {e.latents}; worth a latent by linear theory: {e.worth}{fair}",
            "active units": f"{int(e.active.sum())} of {e.latents}",
            "squared error": f"{e.error:.3g} held out, {e.train_error:.3g} in training; the average image costs "
            f"{e.average_image_error:.3g}",
        }
        if e.sigma is not None:
            facts["sigma"] = f"{e.sigma:.3g}; the errors, with the noise of z, say {e.error_sigma:.3g}"
        if not e.beta_known or e.beta != 1:
            facts["beta"] = f"{e.beta:.3g}" if e.beta_known else "unknown, taken as 1"
        if self.collapse == "none" and (idle := int((kl < IDLE).sum())):
            facts["idle"] = f"{idle} of {e.latents} latents cost less than {IDLE} nats: no harm in itself"
        return facts


def diagnose(run: Run, name: str | None = None) -> Diagnosis | GameDiagnosis:
    """Examines a finished run of a VAE or a GAN on the data that it learned from, read again.

    Its test images judge, or where there are fewer than two of them its training images.

    Raises:
        ConfigError: a model of another family. DataError: the data have gone, or are others now.
    """
    _check_family(run.model)
    prepared = data_of(run)
    train, test = torch.from_numpy(prepared.train), torch.from_numpy(prepared.test)
    if run.config.data.pixels == "dynamic":
        generator = torch.Generator().manual_seed(0)
        train, test = torch.bernoulli(train, generator=generator), torch.bernoulli(test, generator=generator)
    name = name or f"{prepared.data.name}, z = {run.config.model.latent_dim}"
    return diagnose_model(run.model, train, test if len(test) > 1 else None, run.history, run.config, name=name)


def diagnose_model(
    model: VAE | GAN,
    train: Any,
    held_out: Any = None,
    history: pd.DataFrame | None = None,
    config: RunConfig | None = None,
    *,
    objective: ObjectiveConfig | GANObjective | None = None,
    name: str = "model",
) -> Diagnosis | GameDiagnosis:
    """Examines a VAE or GAN with the images (N, D) in [0, 1] that it learned from, and others that it did not see.

    Without `held_out` the training images judge; without `history` nothing is said of the course of the training.
    `objective` is that of the training, by default that of `config`; with neither, beta is taken as 1, and latents that
    lie idle are put down to an unknown cause. The model is left as it is, on whichever device that may be.

    Raises:
        ConfigError: the model is neither. ValueError: images that it could not have learned, or fewer than two.
    """
    _check_family(model)
    model = copy.deepcopy(model).cpu().float().eval()
    train = _images("train", train, model)
    held_out = train if held_out is None else _images("held_out", held_out, model)
    played: Any = objective or getattr(config, "objective", None)
    if isinstance(model, GAN):
        return diagnose_game(model, held_out, played, name)
    past = Past(history, played, getattr(config, "training", None))
    evidence = collect(model, train, held_out, past)
    likelihood = getattr(model.likelihood, "config", LikelihoodConfig())  # Bernoulli pixels have no settings
    causes = likely_causes(evidence, likelihood, past)
    return Diagnosis(name, kind_of_collapse(evidence, causes), tuple(causes), evidence)


def _check_family(model: Any) -> None:
    if not isinstance(model, VAE | GAN):
        family = getattr(model, "family", type(model).__name__)
        known = "diagnosis examines a VAE, with a Gaussian q(z|x), or a GAN only"
        raise ConfigError(f"a model of the family {family!r}: {known}")


def _images(name: str, x: Any, model: VAE | GAN) -> Tensor:
    x = torch.as_tensor(x)
    if x.dim() != 2 or x.shape[1] != model.pixels or len(x) < 2 or not x.is_floating_point():
        raise ValueError(f"{name} is {x.dtype} {tuple(x.shape)}: expected floats (images, {model.pixels}), two or more")
    x = x.float().cpu()
    try:
        model.check(x)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    return x


def collect(model: VAE, train: Tensor, held_out: Tensor, past: Past) -> Evidence:
    """All the figures; `held_out` judges, `train` says what there was to learn."""
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


def kind_of_collapse(e: Evidence, causes: list[Cause]) -> Collapse:
    """Whole: a code costs less than one bit, or is the same for all images. Partial: latents lie idle that would pay.

    Idle latents are a collapse if a cause keeps them away, or if the code costs much less than that of a linear model.
    Those that a model leaves idle of its own accord, at a fair sigma and beta, are none.
    """
    if e.kl < ONE_BIT or not e.directions:
        return "whole"
    names = {cause.name for cause in causes}
    kept_away = "dead units" in names or (e.worth < e.worth_fair and names & EXPLAINS)
    return "partial" if e.directions < e.worth_fair and (kept_away or e.kl < FEW * e.linear_kl) else "none"


def likely_causes(e: Evidence, likelihood: LikelihoodConfig, past: Past) -> list[Cause]:
    """The likely causes, the ones that cost most first; empty for a healthy model."""
    if e.identical:
        nothing = f"all {e.images} training images are the same: there is nothing for a code to tell apart"
        return [Cause("data", nothing, "images that differ; look at those that were read")]
    found = [*_of_the_price(e, likelihood), *_of_the_learning(e, likelihood, past)]
    if kind_of_collapse(e, found) != "none" and not any(cause.name in EXPLAINS for cause in found):
        found.insert(0, _unknown(e))
    return found


def _of_the_price(e: Evidence, likelihood: LikelihoodConfig) -> Iterator[Cause]:
    """What makes a latent too dear, or silences it."""
    averaging = max(10.0, e.pixels / 4)  # from here on beta looks like the number of pixels, as a mean over them has it
    wide = e.sigma is not None and e.sigma > 1 and e.worth_at_sigma < e.worth_fair
    if wide or (e.beta >= averaging and e.worth_at_beta < e.worth_fair):
        what = f"one nat of KL weighs as much as {e.beta:.0f} nats of reconstruction"
        if wide:
            what = f"sigma is {e.sigma:.3g}, wider than the whole range of a pixel, which is 1"
        averaged = f"as when errors are averaged over pixels and not summed: {_paying(e.worth)}"
        remedy = "sum the reconstruction over pixels, or divide the KL by their number, too"
        yield Cause("scale", f"{what}, {averaged}", remedy)
    together = e.worth < e.worth_fair <= e.worth_at_sigma  # sigma alone would do no harm
    if 1 < e.beta < averaging and (together or e.worth_at_beta < e.worth_fair):
        price = "the data must vary along a direction by beta times the noise before a latent pays"
        free_bits = "; free_bits, if single latents are to stay in use" if e.closed_form else ""
        yield Cause("KL weight", f"beta is {e.beta:.3g}: {price}, and {_paying(e.worth)}", f"beta=1{free_bits}")
    if layers := [f"{share:.0%} of {name}" for name, share in e.silent.items() if share > SILENT]:
        flat = f"hidden units say the same of all images, where their activation is flat: {', '.join(layers)}"
        remedy = "init='framework' or a smaller init_std, a smaller learning_rate, clip_norm, activation='silu'"
        yield Cause("dead units", flat, remedy)
    if likelihood.sigma == "fixed" and e.sigma is not None and e.sigma <= 1 and e.worth_at_sigma < e.worth_fair:
        what = f"sigma is {e.sigma:.3g} where the errors are {e.error_sigma:.3g}"
        price = f"the data must vary along a direction by sigma^2 = {e.sigma**2:.2g} before a latent pays"
        yield Cause("variance", f"{what}: {price}, and {_paying(e.worth_at_sigma)}", _sigma_remedy(e, likelihood))


def _of_the_learning(e: Evidence, likelihood: LikelihoodConfig, past: Past) -> Iterator[Cause]:
    """What went wrong on the way: it ended too early, or too late."""
    (_, objective, training), reasons = past, []
    schedule = training.schedule if training else "constant"
    if e.last_fifth is not None and e.last_fifth > UNFINISHED[schedule]:
        last = "last fifth of the epochs" if schedule == "constant" else "later half of the epochs, as the rate fell,"
        reasons.append(f"the {last} still brought {e.last_fifth:.0%} of all that was gained")
    learned = likelihood.sigma in ("shared", "per-pixel")
    if off := learned and e.sigma is not None and e.sigma > OFF * e.error_sigma:
        moved = f"sigma is learned, but stands at {e.sigma:.3g} where the errors say {e.error_sigma:.3g}"
        reasons.append(f"{moved}: {_paying(e.worth_at_sigma)} there")
    if reasons:
        now = f" (now {training.learning_rate:g} with {training.optimiser})" if training else ""
        adam = "" if training and training.optimiser in ("adam", "adamw") else ", adam"
        sigma = f"; {_sigma_remedy(e, likelihood)}" if off else ""
        yield Cause("optimiser", "; ".join(reasons), f"a larger learning_rate{now}{adam}, more epochs{sigma}")
    if objective and e.epochs and objective.warmup_epochs > e.epochs:
        took = f"the KL's warm-up takes {objective.warmup_epochs:g} epochs, but training took {e.epochs}"
        ended = f"beta ended at {e.beta:.2g} of {objective.beta:g}, so the latents never paid their full price"
        yield Cause("schedule", f"{took}: {ended}", "warmup_epochs well below the number of epochs")
    reasons = []
    if e.error > OVERFITS * e.train_error:
        reasons.append(f"the held-out error is {e.error / e.train_error:.1f} times that on the training images")
    if e.fell > max(1.0, FELL * e.gain):
        reasons.append(f"the held-out loss was lowest at epoch {e.best_epoch} and then rose by {e.fell:.1f} nats")
    if reasons:
        stop = "" if training and training.patience else "patience=10 (with a validation set), fewer epochs, "
        by_heart = f"{' and '.join(reasons)}: the model learns its {e.images} images by heart"
        yield Cause("data", by_heart, f"{stop}a smaller network, weight_decay, more images")


def _unknown(e: Evidence) -> Cause:
    idle = f"by linear theory {_paying(e.worth)} and a code costs {e.linear_kl:.1f} nats; it costs {e.kl:.1f}"
    if not e.beta_known:
        remedy = "diagnose again with the objective=ObjectiveConfig(beta=...) of the training, or its config"
        return Cause("unknown", f"beta is unknown: were it 1, {idle}", remedy)
    this = "beta" if e.sigma is None else "sigma and beta"
    over = "" if e.last_fifth is None else "the loss had all but stopped falling, "
    seed = f"warmup_epochs, {'free_bits, ' if e.closed_form else ''}another seed"
    remedy = f"{seed}; check that the images and the loss are what they should be"
    return Cause("unknown", f"at this {this} {idle}; {over}no layer is dead", remedy)


def _sigma_remedy(e: Evidence, likelihood: LikelihoodConfig) -> str:
    """How a likelihood of this kind comes to the right sigma; a logistic's `sigma_value` is its scale."""
    value = e.error_sigma * (math.sqrt(3) / math.pi if likelihood.name == "discretised-logistic" else 1.0)
    learned = f"sigma='shared' from sigma_value={value:.1g} on"
    if likelihood.sigma in ("shared", "per-pixel"):
        learned = f"a start at sigma_value={value:.1g}"
    return f"sigma='optimal', or {learned}" if likelihood.name == "gaussian" else learned


def _paying(number: int) -> str:
    return {0: "no direction pays", 1: "one direction pays"}.get(number, f"{number} directions pay")
