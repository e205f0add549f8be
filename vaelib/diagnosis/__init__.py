"""What ails a trained VAE: does it use its latents, if not why, and what to try. A GAN is examined by `games`.

>>> diagnose(run)                                   # a finished run of the store
>>> diagnose_model(model, train, held_out)          # or a model and images, with as much of its past as there is
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from vaelib.config import ConfigError
from vaelib.diagnosis.causes import Collapse, kind_of_collapse, likely_causes
from vaelib.diagnosis.evidence import Evidence, Past, collect
from vaelib.games import GameDiagnosis, diagnose_game
from vaelib.likelihoods import LikelihoodConfig
from vaelib.models import GAN, VAE, GANObjective, ObjectiveConfig
from vaelib.reports import Cause, Report
from vaelib.runs import Run, RunConfig, data_of

__all__ = ["Cause", "Diagnosis", "Evidence", "diagnose", "diagnose_model"]

IDLE = 0.1  # nats
BARS = "▁▂▃▄▅▆▇█"


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
