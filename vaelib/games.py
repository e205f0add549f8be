"""What ails a trained GAN: whether its critic still teaches, and whether its samples vary as the images do."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from vaelib.models.gan import GAN, GANObjective, losses_of_scores
from vaelib.reports import Cause, Report

__all__ = ["GameDiagnosis", "GameEvidence", "diagnose_game"]

ENOUGH = 2000  # images and samples looked at
SILENT = 0.01  # nats: a critic that changes the generator's loss by less teaches nothing
WON = 0.99  # share of pairs
CALMER = "optimiser='adam-no-momentum', a smaller learning_rate"
NARROW, WIDE, SHIFTED = 0.5, 2.0, 0.1  # samples beyond these are evidently not like the images


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


@dataclass(frozen=True, repr=False)
class GameDiagnosis(Report):
    """Whether the critic still teaches the generator, and whether the samples vary: `causes` where not, and `evidence`.

    No trouble found is no praise: how good samples are, only a judge of pictures can say.
    """

    name: str
    causes: tuple[Cause, ...]
    evidence: GameEvidence

    @property
    def healthy(self) -> bool:
        return not self.causes

    @property
    def verdict(self) -> str:
        if self.healthy:
            return "no fault found: the critic teaches, and samples vary"
        return f"the game has failed: {', '.join(cause.name for cause in self.causes)}"

    def facts(self) -> dict[str, str]:
        e = self.evidence
        return {
            "seen through": f"the critic prefers an image to a sample in {e.seen_through:.0%} of pairs (a draw is 50%)",
            "signal": f"{e.signal:.3g} nats of the generator's loss over the distance between two images",
            "variety": f"samples have {e.variety:.0%} of the images' variance",
            "shift": f"the mean sample lies {e.shift:.0%} of that variance away from the mean image",
        }


def diagnose_game(
    model: GAN, x: Tensor, objective: GANObjective | None = None, name: str = "model", seed: int = 0
) -> GameDiagnosis:
    """Examines a GAN beside images x (N, D), two or more; `objective` is that of its training."""
    evidence = examine(model.eval(), x[:ENOUGH], objective or GANObjective(), seed)
    return GameDiagnosis(name, tuple(_causes(evidence)), evidence)


def examine(model: GAN, x: Tensor, objective: GANObjective, seed: int) -> GameEvidence:
    """All the figures, with as many samples as images."""
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


def _causes(e: GameEvidence) -> list[Cause]:
    found = []
    if e.signal < SILENT and e.astray:
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
