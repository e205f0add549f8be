"""Why latents lie idle, or what else went wrong, and what to try: what the evidence says."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal

from vaelib.diagnosis.evidence import Evidence, Past
from vaelib.likelihoods import LikelihoodConfig
from vaelib.reports import Cause, CauseName

__all__ = ["Collapse", "kind_of_collapse", "likely_causes"]

Collapse = Literal["none", "partial", "whole"]
EXPLAINS: set[CauseName] = {"scale", "KL weight", "dead units", "variance", "optimiser"}

SILENT = 0.9  # share of a layer's units; tanh networks do well with half of theirs stuck
ONE_BIT = 0.693  # nats
OFF = 1.5  # a learned sigma is off if it is so many times what the errors say
FEW = 0.25  # of the KL of a linear model: sound models that bend theirs pay a third of it, or more
OVERFITS = 1.5  # held-out error over training error
FELL = 0.01  # share of the held-out loss's gain that was lost again, and at least a nat
UNFINISHED = {"constant": 0.02, "cosine": 0.15}  # share of the gain that the last fifth of the learning brought. A
# falling rate takes the noise of the steps away, too: up to 0.12 in runs that are over (0.2 is undiminished progress).


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
