"""From evidence to likely causes: one function each, which returns what speaks for the cause and what to try."""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

from vaelib.diagnosis.evidence import Evidence
from vaelib.likelihoods import LikelihoodConfig
from vaelib.objectives import ObjectiveConfig
from vaelib.training import TrainingConfig

__all__ = ["Cause", "Collapse", "Finding", "findings", "kind_of_collapse"]

Collapse = Literal["none", "partial", "whole"]
Cause = Literal["scale", "KL weight", "dead units", "variance", "optimiser", "schedule", "data", "unknown"]
EXPLAINS: set[Cause] = {"scale", "KL weight", "dead units", "variance", "optimiser"}

ONE_BIT = 0.693  # nats
OFF = 1.5  # a learned sigma is off if it is so many times what the errors say
UNFINISHED = {"constant": 0.02, "cosine": 0.15}
"""Share of the gain that the last fifth of the learning brought. As a cosine lowers the rate, the noise of the steps
goes too, which brings up to 0.12 in runs that are over (0.2 is progress that does not slow down at all)."""
FEW = 0.25  # of the KL of a linear model: sound models that bend theirs pay a third of it, or more
OVERFITS = 1.5  # held-out error over training error
FELL = 0.01  # share of the held-out loss's gain that was lost again, and at least a nat
SILENT = 0.9  # share of a layer's units; tanh networks do well with half of theirs stuck


class Finding(NamedTuple):
    """A likely `cause`, the `evidence` for it, and what to try."""

    cause: Cause
    evidence: str
    remedy: str


def findings(
    e: Evidence,
    likelihood: LikelihoodConfig,
    objective: ObjectiveConfig | None = None,
    training: TrainingConfig | None = None,
) -> list[Finding]:
    """The likely causes, the ones that cost most first; empty for a healthy model."""
    rules = (
        _scale(e),
        _kl_weight(e),
        _dead_units(e),
        _variance(e, likelihood),
        _optimiser(e, likelihood, training),
        _schedule(e, objective),
        _data(e, training),
    )
    found = [rule for rule in rules if rule]
    if kind_of_collapse(e, found) != "none" and not any(finding.cause in EXPLAINS for finding in found):
        found.insert(0, _unknown(e))
    return found


def kind_of_collapse(e: Evidence, found: list[Finding]) -> Collapse:
    """Whole: a code costs less than one bit, or is the same for all images. Partial: latents lie idle that would pay.

    Idle latents are a collapse if a cause keeps them away, or if the code costs much less than that of a linear model.
    Those that a model leaves idle of its own accord, at a fair sigma and beta, are none.
    """
    if e.kl < ONE_BIT or not e.directions:
        return "whole"
    causes = {finding.cause for finding in found}
    kept_away = "dead units" in causes or (e.worth < e.worth_fair and causes & EXPLAINS)
    if kept_away and e.directions < e.worth_fair:
        return "partial"
    return "partial" if e.directions < e.worth_fair and e.kl < FEW * e.linear_kl else "none"


def _scale(e: Evidence) -> Finding | None:
    """The weights of the two terms are as far apart as a mean over pixels makes them."""
    if e.sigma is not None and e.sigma > 1 and e.worth_at_sigma < e.worth_fair:
        evidence = f"sigma is {e.sigma:.3g}, wider than the whole range of a pixel, which is 1"
    elif e.beta >= _averaging(e) and e.worth_at_beta < e.worth_fair:
        evidence = f"one nat of KL weighs as much as {e.beta:.0f} nats of reconstruction"
    else:
        return None
    evidence += f", as when errors are averaged over pixels and not summed: {_paying(e.worth)}"
    return Finding("scale", evidence, "sum the reconstruction over pixels, or divide the KL by their number, too")


def _averaging(e: Evidence) -> float:
    """From here on beta looks like the number of pixels, which a mean over pixels puts in its place."""
    return max(10.0, e.pixels / 4)


def _kl_weight(e: Evidence) -> Finding | None:
    """Beta is too large, by itself or, where sigma alone would do no harm, together with sigma."""
    together = e.worth < e.worth_fair <= e.worth_at_sigma
    if not 1 < e.beta < _averaging(e) or not (together or e.worth_at_beta < e.worth_fair):
        return None
    evidence = (
        f"beta is {e.beta:.3g}: the data must vary along a direction by beta times the noise before a latent pays, "
        f"and {_paying(e.worth)}"
    )
    free_bits = "; free_bits, if single latents are to stay in use" if e.closed_form else ""
    return Finding("KL weight", evidence, f"beta=1{free_bits}")


def _dead_units(e: Evidence) -> Finding | None:
    layers = [f"{share:.0%} of {name}" for name, share in e.silent.items() if share > SILENT]
    if not layers:
        return None
    return Finding(
        "dead units",
        f"hidden units say the same of all images, where their activation is flat: {', '.join(layers)}",
        "init='framework' or a smaller init_std, a smaller learning_rate, clip_norm, activation='silu'",
    )


def _variance(e: Evidence, likelihood: LikelihoodConfig) -> Finding | None:
    """A sigma that was set is too large, whatever beta is."""
    if likelihood.sigma != "fixed" or e.sigma is None or e.sigma > 1 or e.worth_at_sigma >= e.worth_fair:
        return None
    return Finding(
        "variance",
        f"sigma is {e.sigma:.3g} where the errors are {e.error_sigma:.3g}: the data must vary along a direction by "
        f"sigma^2 = {e.sigma**2:.2g} before a latent pays, and {_paying(e.worth_at_sigma)}",
        _sigma_remedy(e, likelihood),
    )


def _sigma_remedy(e: Evidence, likelihood: LikelihoodConfig) -> str:
    """How a likelihood of this kind comes to the right sigma; a logistic's `sigma_value` is its scale."""
    value = e.error_sigma * (math.sqrt(3) / math.pi if likelihood.name == "discretised-logistic" else 1.0)
    learned = f"sigma='shared' from sigma_value={value:.1g} on"
    if likelihood.sigma in ("shared", "per-pixel"):
        learned = f"a start at sigma_value={value:.1g}"
    return f"sigma='optimal', or {learned}" if likelihood.name == "gaussian" else learned


def _optimiser(e: Evidence, likelihood: LikelihoodConfig, training: TrainingConfig | None) -> Finding | None:
    """Training stopped before it was over: the loss still fell, or a learned sigma is still far away."""
    reasons = []
    schedule = training.schedule if training else "constant"
    if e.last_fifth is not None and e.last_fifth > UNFINISHED[schedule]:
        last = "last fifth of the epochs" if schedule == "constant" else "later half of the epochs, as the rate fell,"
        reasons.append(f"the {last} still brought {e.last_fifth:.0%} of all that was gained")
    learned = likelihood.sigma in ("shared", "per-pixel")
    off = learned and e.sigma is not None and e.sigma > OFF * e.error_sigma
    if off:
        moved = f"sigma is learned, but stands at {e.sigma:.3g} where the errors say {e.error_sigma:.3g}"
        reasons.append(f"{moved}: {_paying(e.worth_at_sigma)} there")
    if not reasons:
        return None
    remedy = "a larger learning_rate"
    if training:
        remedy += f" (now {training.learning_rate:g} with {training.optimiser})"
    if not training or training.optimiser not in ("adam", "adamw", "nadam", "radam"):
        remedy += ", adam"
    remedy += ", more epochs"
    return Finding("optimiser", "; ".join(reasons), f"{remedy}; {_sigma_remedy(e, likelihood)}" if off else remedy)


def _schedule(e: Evidence, objective: ObjectiveConfig | None) -> Finding | None:
    if objective is None or not e.epochs or objective.warmup_epochs <= e.epochs:
        return None
    return Finding(
        "schedule",
        f"the KL's warm-up takes {objective.warmup_epochs:g} epochs, but training took {e.epochs}: beta ended "
        f"at {e.beta:.2g} of {objective.beta:g}, so the latents never paid their full price",
        "warmup_epochs well below the number of epochs",
    )


def _data(e: Evidence, training: TrainingConfig | None) -> Finding | None:
    reasons = []
    if e.error > OVERFITS * e.train_error:
        reasons.append(f"the held-out error is {e.error / e.train_error:.1f} times that on the training images")
    if e.fell > max(1.0, FELL * e.gain):
        reasons.append(f"the held-out loss was lowest at epoch {e.best_epoch} and then rose by {e.fell:.1f} nats")
    if not reasons:
        return None
    stop = "" if training and training.patience else "patience=10 (with a validation set), fewer epochs, "
    return Finding(
        "data",
        f"{' and '.join(reasons)}: the model learns its {e.images} images by heart",
        f"{stop}a smaller network, weight_decay, more images",
    )


def _unknown(e: Evidence) -> Finding:
    idle = f"by linear theory {_paying(e.worth)} and a code costs {e.linear_kl:.1f} nats; it costs {e.kl:.1f}"
    if not e.beta_known:
        return Finding(
            "unknown",
            f"beta is unknown: were it 1, {idle}",
            "diagnose again with the objective=ObjectiveConfig(beta=...) of the training, or its config",
        )
    over = "" if e.last_fifth is None else "the loss had all but stopped falling, "
    return Finding(
        "unknown",
        f"at this {'beta' if e.sigma is None else 'sigma and beta'} {idle}; {over}no layer is dead",
        f"warmup_epochs, {'free_bits, ' if e.closed_form else ''}another seed; check that the images and the loss are "
        "what they should be",
    )


def _paying(number: int) -> str:
    return {0: "no direction pays", 1: "one direction pays"}.get(number, f"{number} directions pay")
