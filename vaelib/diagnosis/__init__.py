"""What ails a trained VAE: does it use its latents, if not why, and what to try.

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

from vaelib.data import prepare
from vaelib.diagnosis.causes import Collapse, Finding, findings, kind_of_collapse
from vaelib.diagnosis.evidence import Evidence, collect, directions_in_use, expected_error
from vaelib.models import VAE
from vaelib.objectives import ObjectiveConfig
from vaelib.runs import Run, RunConfig

__all__ = ["Diagnosis", "Evidence", "Finding", "diagnose", "diagnose_model", "directions_in_use", "expected_error"]

BARS = "▁▂▃▄▅▆▇█"
IDLE = 0.1  # nats


@dataclass(frozen=True, repr=False)
class Diagnosis:
    """The `collapse`, the likely causes of it or of other trouble in `findings`, and the `evidence`.

    Shown as Markdown by a notebook, and as text by `print`, `repr` and everything else.
    """

    name: str
    collapse: Collapse
    findings: tuple[Finding, ...]
    evidence: Evidence

    @property
    def healthy(self) -> bool:
        return self.collapse == "none" and not self.findings

    @property
    def causes(self) -> list[str]:
        return [finding.cause for finding in self.findings]

    @property
    def verdict(self) -> str:
        """One sentence."""
        e = self.evidence
        if self.collapse == "whole" and not e.directions:
            return "collapsed: the code is the same for all images"
        if self.collapse == "whole":
            return f"collapsed: the code of an image costs {e.kl:.2f} nats, less than one bit"
        if self.collapse == "partial":
            return f"partly collapsed: {e.directions} of {e.latents} latent directions are in use"
        if self.healthy:
            return f"healthy: the code of an image costs {e.kl:.1f} nats"
        return f"no collapse, but there is something to improve: {', '.join(self.causes)}"

    def facts(self) -> dict[str, str]:
        """What was measured, in words."""
        e = self.evidence
        kl = np.sort(e.kl_per_dim)[::-1]
        shown = " ".join(f"{value:.2f}" for value in kl[:8]) + (" ..." if e.latents > 8 else "")
        to = "" if e.closed_form else "  (to the codes' spread in each: to this prior it does not split)"
        fair = f", {e.worth_fair} at a fair sigma and beta" if e.worth < e.worth_fair else ""
        facts = {
            "KL by dimension": f"{shown} nats  {_bars(kl)}{to}",
            "directions in use": f"{e.directions} of {e.latents}; worth a latent by linear theory: {e.worth}{fair}",
            "active units": f"{int(e.active.sum())} of {e.latents}",
            "squared error": f"{e.error:.3g} held out, {e.train_error:.3g} in training; the average image costs "
            f"{e.average_image_error:.3g}",
        }
        if e.sigma is not None:
            facts["sigma"] = f"{e.sigma:.3g}; the errors, with the noise of z, say {e.error_sigma:.3g}"
        if not e.beta_known:
            facts["beta"] = "unknown, taken as 1"
        elif e.beta != 1:
            facts["beta"] = f"{e.beta:.3g}"
        idle = int((kl < IDLE).sum())
        if self.collapse == "none" and idle:
            facts["idle"] = f"{idle} of {e.latents} latents cost less than {IDLE} nats: no harm in itself"
        return facts

    def __repr__(self) -> str:
        facts = self.facts()
        width = max(map(len, facts)) + 2
        lines = [f"{self.name}: {self.verdict}", *(f"  {key:<{width}}{value}" for key, value in facts.items())]
        for number, finding in enumerate(self.findings, start=1):
            lines += [f"  {number}. {finding.cause}: {finding.evidence}", f"     try: {finding.remedy}"]
        return "\n".join(lines)

    def _repr_markdown_(self) -> str:
        rows = [f"| {key} | {value} |" for key, value in self.facts().items()]
        lines = [f"**{self.name}: {self.verdict}**", "", "| | |", "| --- | --- |", *rows, ""]
        for number, finding in enumerate(self.findings, start=1):
            lines += [f"{number}. **{finding.cause}**: {finding.evidence}. *Try:* {finding.remedy}."]
        return "\n".join(lines)


def diagnose(run: Run, name: str | None = None) -> Diagnosis:
    """Examines a finished run on its own data, judging by its test images."""
    prepared = prepare(run.config.data)
    train, test = torch.from_numpy(prepared.train), torch.from_numpy(prepared.test)
    if run.config.data.pixels == "dynamic":
        generator = torch.Generator().manual_seed(0)
        train, test = torch.bernoulli(train, generator=generator), torch.bernoulli(test, generator=generator)
    name = name or f"{prepared.data.name}, z = {run.config.model.latent_dim}"
    return diagnose_model(run.model, train, test, run.history, run.config, name=name)


def diagnose_model(
    model: VAE,
    train: Any,
    held_out: Any = None,
    history: pd.DataFrame | None = None,
    config: RunConfig | None = None,
    *,
    objective: ObjectiveConfig | None = None,
    name: str = "model",
) -> Diagnosis:
    """Examines a model with the images (N, D) in [0, 1] that it learned from, and others that it did not see.

    Without `held_out` the training images judge; without `history` nothing is said of the course of the training.
    `objective` is that of the training, by default that of `config`; with neither, beta is taken as 1, and latents that
    lie idle are put down to an unknown cause. The model is left as it is, on whichever device that may be.

    Raises:
        ValueError: images that are not (N, D) floats, two of each at least, with as many pixels as the model's, or that
            its likelihood cannot draw.
    """
    model = copy.deepcopy(model).cpu().float().eval()
    train = _images("train", train, model)
    held_out = train if held_out is None else _images("held_out", held_out, model)
    objective = objective or (config.objective if config else None)
    training = config.training if config else None
    evidence = collect(model, train, held_out, history, objective, training)
    found = findings(evidence, model.config.likelihood, objective, training)
    return Diagnosis(name, kind_of_collapse(evidence, found), tuple(found), evidence)


def _images(name: str, x: Any, model: VAE) -> Tensor:
    x = torch.as_tensor(x)
    if x.dim() != 2 or x.shape[1] != model.pixels or len(x) < 2 or not x.is_floating_point():
        raise ValueError(f"{name} is {x.dtype} {tuple(x.shape)}: expected floats (images, {model.pixels}), two or more")
    x = x.float().cpu()
    try:
        model.likelihood.check(x)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    return x


def _bars(values: np.ndarray) -> str:
    """One character for each value in nats, at most 40 of them; full at the highest, or at one nat."""
    highest = max(float(values.max()), 1.0)
    return "".join(BARS[min(int(8 * value / highest), 7)] for value in values[:40])
