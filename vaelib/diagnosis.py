"""What ails a trained model: does a VAE use its latents, does a GAN's critic still teach; if not why, and what to try.

>>> diagnose(run)                                   # a finished run of the store
>>> diagnose_model(model, train, held_out)          # or a model and images, with as much of its past as there is
"""

from __future__ import annotations

import copy
import html
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import pandas as pd
import torch
from torch import Tensor

from vaelib.config import ConfigError
from vaelib.evidence import NARROW, Collapse, Evidence, GameEvidence, Past, collect, examine
from vaelib.likelihoods import LikelihoodConfig
from vaelib.models import GAN, VAE, GANObjective, ObjectiveConfig
from vaelib.runs import Run, RunConfig, data_of

__all__ = ["Cause", "Diagnosis", "diagnose", "diagnose_model"]

EXPLAINS = {"scale", "KL weight", "dead units", "variance", "optimiser"}

SILENT = 0.9  # share of a layer's units; tanh networks do well with half of theirs stuck
ONE_BIT = 0.693  # nats
OFF = 1.5  # a learned sigma is off if it is so many times what the errors say
FEW = 0.25  # of the KL of a linear model: sound models that bend theirs pay a third of it, or more
OVERFITS = 1.5  # held-out error over training error
FELL = 0.01  # share of the held-out loss's gain that was lost again, and at least a nat
UNFINISHED = {"constant": 0.02, "cosine": 0.15}  # share of the gain that the last fifth of the learning brought. A
# falling rate takes the noise of the steps away, too: up to 0.12 in runs that are over (0.2 is undiminished progress).
NO_SIGNAL = 0.01  # nats: a critic that changes the generator's loss by less teaches nothing
WON = 0.99  # share of pairs
# A setting such as `sigma='optimal'`, `beta=1` or `objective=ObjectiveConfig(beta=...)`, or a name such as `free_bits`.
SETTING = re.compile(r"\b[a-z_]+=(?:'[^']*'|\w[\w.]*(?:\([^()]*\))?(?<!\.))|\b[a-z]+(?:_[a-z]+)+\b")
CALMER = "optimiser='adam-no-momentum', a smaller learning_rate"


class Cause(NamedTuple):
    """A likely cause of trouble, the `evidence` for it, and what to try."""

    name: str
    evidence: str
    remedy: str


@dataclass(frozen=True, repr=False)
class Diagnosis:
    """The `collapse`, the likely `causes` of it or of other trouble, and the `evidence`.

    Shown as Markdown by a notebook, and as text by `print`, `repr` and everything else.
    """

    name: str
    collapse: Collapse
    causes: tuple[Cause, ...]
    evidence: Evidence | GameEvidence

    @property
    def healthy(self) -> bool:
        return self.collapse == "none" and not self.causes

    @property
    def verdict(self) -> str:
        """All of it in one line."""
        return self.evidence.verdict(self.collapse, [cause.name for cause in self.causes])

    def facts(self) -> dict[str, str]:
        """What was measured, in words."""
        return self.evidence.facts(self.collapse)

    def __repr__(self) -> str:
        facts = self.facts()
        width = max(map(len, facts)) + 2
        lines = [f"{self.name}: {self.verdict}", *(f"  {key:<{width}}{value}" for key, value in facts.items())]
        for number, (cause, evidence, remedy) in enumerate(self.causes, start=1):
            lines += [f"  {number}. {cause}: {evidence}", f"     try: {remedy}"]
        return "\n".join(lines)

    def _repr_markdown_(self) -> str:
        lines = [f"**{_escaped(self.name)}: {self.verdict}**", "", "| | |", "| --- | --- |"]
        lines += [*(f"| {key} | {value} |" for key, value in self.facts().items()), ""]
        for number, (cause, evidence, remedy) in enumerate(self.causes, start=1):
            lines += [f"{number}. **{cause}**: {_coded(evidence)}. *Try:* {_coded(remedy)}."]
        return "\n".join(lines)


def _coded(text: str) -> str:
    """A text as Markdown whose settings, and names of settings, are code."""
    return SETTING.sub(r"`\g<0>`", text)


def _escaped(text: str) -> str:
    """A text as Markdown that shows it and does nothing: no HTML, no links, no emphasis, no mathematics."""
    return re.sub(r"([\\`*_~$|!()\[\]])", r"\\\1", html.escape(" ".join(text.split()), quote=False))


def diagnose(run: Run, name: str | None = None) -> Diagnosis:
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
) -> Diagnosis:
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
        game = examine(model, held_out, played or GANObjective())
        return Diagnosis(name, "none", tuple(causes_in_a_game(game)), game)
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


# What the evidence says


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


def causes_in_a_game(e: GameEvidence) -> list[Cause]:
    """Why the critic no longer teaches the generator, or samples do not vary."""
    found = []
    if e.signal < NO_SIGNAL and e.astray:
        steady = f"loss='relativistic' with a gamma of 0.1 or more, {CALMER}"
        what = f"it teaches the generator nothing ({e.signal:.2g} nats)"
        if e.seen_through > WON:
            told = f"the critic has won: it tells {e.seen_through:.0%} of samples from images, and {what}"
            found.append(Cause("critic", told, f"{steady}, or loss='non-saturating'"))
        else:
            dead = f"the critic is dead: it says the same of images and of samples that are unlike them, and {what}"
            found.append(Cause("critic", dead, f"{steady}, another gamma or seed, activation='silu'"))
    if e.variety < NARROW:
        few = f"samples have {e.variety:.0%} of the variance of the images: many z give one picture"
        found.append(Cause("mode collapse", few, f"loss='relativistic' with a larger gamma, {CALMER}"))
    return found
