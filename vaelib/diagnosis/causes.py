"""From evidence to likely causes: one function each, which returns what speaks for the cause and what to try."""

from __future__ import annotations

from typing import Literal, NamedTuple

from vaelib.diagnosis.evidence import Evidence
from vaelib.objectives import ObjectiveConfig
from vaelib.runs import RunConfig

__all__ = ["Cause", "Collapse", "Finding", "findings", "kind_of_collapse"]

Collapse = Literal["none", "partial", "whole"]
Cause = Literal["scale", "KL weight", "dead units", "variance", "optimiser", "schedule", "data", "unknown"]
EXPLAINS: set[Cause] = {"scale", "KL weight", "dead units", "variance", "optimiser"}

ONE_BIT = 0.693  # nats
OFF = 1.5  # a learned sigma is off if it is so many times what the errors say
UNFINISHED = 0.02  # share of the bound's gain that the last fifth of the epochs brought
OVERFITS = 1.5  # held-out error over training error
FELL = 0.01  # share of the held-out bound's gain that was lost again, and at least a nat
SILENT = 0.9  # share of a layer's units; tanh networks do well with half of theirs stuck


class Finding(NamedTuple):
    """A likely `cause`, the `evidence` for it, and what to try."""

    cause: Cause
    evidence: str
    remedy: str


def findings(e: Evidence, config: RunConfig | None, learned_sigma: bool) -> list[Finding]:
    """The likely causes, the ones that cost most first; empty for a healthy model."""
    rules = (
        _scale(e),
        _kl_weight(e),
        _dead_units(e),
        None if learned_sigma else _variance(e),
        _optimiser(e, config, learned_sigma),
        _schedule(e, config),
        _data(e, config),
    )
    found = [rule for rule in rules if rule]
    if tells_nothing(e) and not any(finding.cause in EXPLAINS for finding in found):
        found.insert(0, _unknown(e))
    return found


def tells_nothing(e: Evidence) -> bool:
    """Whether a code tells less than one bit about an image; a code that is the same for all images tells nothing."""
    return e.kl < ONE_BIT or not e.directions


def kind_of_collapse(e: Evidence, found: list[Finding]) -> Collapse:
    """Whole: a code tells less than one bit, or nothing of the image. Partial: latents lie idle that would pay.

    Latents that a model leaves idle of its own accord, at a fair sigma and beta, are no collapse.
    """
    if tells_nothing(e):
        return "whole"
    kept_away = e.worth < e.worth_fair or any(finding.cause == "dead units" for finding in found)
    return "partial" if kept_away and e.directions < e.worth_fair else "none"


def _scale(e: Evidence) -> Finding | None:
    """The weights of the two terms are as far apart as a mean over pixels makes them."""
    if e.sigma is not None and e.sigma > 1 and e.beta <= 1:
        evidence = f"sigma is {e.sigma:.3g}, wider than the whole range of a pixel, which is 1"
    elif e.beta >= _averaging(e):
        evidence = f"one nat of KL weighs as much as {e.beta:.0f} nats of reconstruction"
    else:
        return None
    evidence += f", as when errors are averaged over pixels and not summed: {_directions(e.worth)} worth that"
    return Finding("scale", evidence, "sum the reconstruction over pixels, or divide the KL by their number, too")


def _averaging(e: Evidence) -> float:
    """From here on beta looks like the number of pixels, which a mean over pixels puts in its place."""
    return max(10.0, e.pixels / 4)


def _kl_weight(e: Evidence) -> Finding | None:
    if not 1 < e.beta < _averaging(e) or e.worth >= e.worth_fair:
        return None
    evidence = (
        f"beta is {e.beta:.3g}: the data must vary along a direction by beta times the noise before a latent pays, "
        f"and {_directions(e.worth)} worth that"
    )
    return Finding("KL weight", evidence, "beta=1; free_bits, if single latents are to stay in use")


def _dead_units(e: Evidence) -> Finding | None:
    layers = [f"{share:.0%} of {name}" for name, share in e.silent.items() if share > SILENT]
    if not layers:
        return None
    return Finding(
        "dead units",
        f"hidden units say the same of all images, where their activation is flat: {', '.join(layers)}",
        "init='framework' or a smaller init_std, a smaller learning_rate, clip_norm, activation='silu'",
    )


def _variance(e: Evidence) -> Finding | None:
    if e.sigma is None or e.sigma > 1 or e.beta > 1 or e.worth >= e.worth_fair:
        return None
    return Finding(
        "variance",
        f"sigma is {e.sigma:.3g} where the errors are {e.error_sigma:.3g}: the data must vary along a direction by "
        f"sigma^2 = {e.sigma**2:.2g} before a latent pays, and {_directions(e.worth)} worth that",
        f"sigma='optimal', or sigma='shared' from about {_round(e.error_sigma)} on",
    )


def _optimiser(e: Evidence, config: RunConfig | None, learned_sigma: bool) -> Finding | None:
    """Training stopped before it was over: the bound still rose, or a learned sigma is still far away."""
    reasons = []
    if e.last_fifth is not None and e.last_fifth > UNFINISHED:
        reasons.append(f"the last fifth of the epochs still brought {e.last_fifth:.0%} of all that the bound gained")
    if learned_sigma and e.sigma is not None and e.sigma > OFF * e.error_sigma:
        moved = f"sigma is learned, but stands at {e.sigma:.3g} where the errors say {e.error_sigma:.3g}"
        reasons.append(f"{moved}: {_directions(e.worth)} worth a latent there")
    if not reasons:
        return None
    step = f" (now {config.training.learning_rate:g} with {config.training.optimiser})" if config else ""
    start = f"; sigma='optimal', or a start at {_round(e.error_sigma)}" if len(reasons) == 2 or not e.last_fifth else ""
    return Finding("optimiser", "; ".join(reasons), f"a larger learning_rate{step}, adam, more epochs{start}")


def _schedule(e: Evidence, config: RunConfig | None) -> Finding | None:
    if config is None or not e.epochs or config.objective.warmup_epochs <= e.epochs:
        return None
    return Finding(
        "schedule",
        f"the KL's warm-up takes {config.objective.warmup_epochs:g} epochs, but training took {e.epochs}: beta ended "
        f"at {e.beta:.2g} of {config.objective.beta:g}, so the latents never paid their full price",
        "warmup_epochs well below the number of epochs",
    )


def _data(e: Evidence, config: RunConfig | None) -> Finding | None:
    """The bound must have been what was maximised for its fall to mean anything."""
    plain = config is None or config.objective == ObjectiveConfig()
    reasons = []
    if e.error > OVERFITS * e.train_error:
        reasons.append(f"the held-out error is {e.error / e.train_error:.1f} times that on the training images")
    if plain and e.fell > max(1.0, FELL * e.gain):
        reasons.append(f"the held-out bound was best at epoch {e.best_epoch} and then fell by {e.fell:.1f} nats")
    if not reasons:
        return None
    return Finding(
        "data",
        f"{' and '.join(reasons)}: the model learns its {e.images} images by heart",
        "patience=10 (with a validation set), fewer epochs, a smaller network, weight_decay, more images",
    )


def _unknown(e: Evidence) -> Finding:
    return Finding(
        "unknown",
        f"sigma and beta leave {_directions(e.worth)} worth a latent, training is over, and no unit is dead",
        "warmup_epochs, free_bits, another seed; check that the images and the loss are what they should be",
    )


def _directions(number: int) -> str:
    return {0: "no direction is", 1: "one direction is"}.get(number, f"{number} directions are")


def _round(sigma: float) -> str:
    return f"{sigma:.1g}"
