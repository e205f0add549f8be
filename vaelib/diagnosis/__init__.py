"""What ails a trained VAE: does it use its latents, if not why, and what to try.

>>> diagnose(run)                                   # a finished run of the store
>>> diagnose_model(model, train, held_out)          # or a model and images, with as much of its past as there is
"""

from __future__ import annotations

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
from vaelib.runs import Run, RunConfig

__all__ = ["Diagnosis", "Evidence", "Finding", "diagnose", "diagnose_model", "directions_in_use", "expected_error"]

BARS = "▁▂▃▄▅▆▇█"
IDLE = 0.1  # nats


@dataclass(frozen=True)
class Diagnosis:
    """The `collapse`, the likely causes of it or of other trouble in `findings`, and the `evidence`.

    Shown as text by `print`, as Markdown by a notebook.
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
            return f"collapsed: the code tells {e.kl:.2f} nats about an image, less than one bit"
        if self.collapse == "partial":
            return f"partly collapsed: {e.directions} of {len(e.kl_per_dim)} latent directions are in use"
        if self.healthy:
            return f"healthy: the code tells {e.kl:.1f} nats about an image"
        return f"no collapse, but there is something to improve: {', '.join(self.causes)}"

    def facts(self) -> dict[str, str]:
        """What was measured, in words."""
        e, latents = self.evidence, len(self.evidence.kl_per_dim)
        kl = np.sort(e.kl_per_dim)[::-1]
        shown = " ".join(f"{value:.2f}" for value in kl[:8]) + (" ..." if latents > 8 else "")
        pays = f"of {latents}; by linear theory {e.worth} are worth it here, {e.worth_fair} at a fair sigma and beta"
        facts = {
            "KL by dimension": f"{shown} nats  {_bars(kl)}",
            "directions in use": f"{e.directions} {pays}",
            "active units": f"{int(e.active.sum())} of {latents}",
            "squared error": f"{e.error:.3g} held out, {e.train_error:.3g} in training; the average image costs "
            f"{e.average_image_error:.3g}",
        }
        if e.sigma is not None:
            facts["sigma"] = f"{e.sigma:.3g}; the errors, with the noise of z, say {e.error_sigma:.3g}"
        idle = int((kl < IDLE).sum())
        if self.collapse == "none" and idle:
            facts["idle"] = f"{idle} of {latents} latents tell less than {IDLE} nats: no harm, they cost no more"
        return facts

    def __str__(self) -> str:
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
    name: str = "model",
) -> Diagnosis:
    """Examines a model with the images (N, D) in [0, 1] that it learned from, and others that it did not see.

    Without `held_out` the training images judge; without `history` nothing is said of the course of the training;
    without `config` the objective is taken to be the plain ELBO.

    Raises:
        ValueError: images that are not (N, D) floats, two of each at least, with as many pixels as the model's.
    """
    train = _images("train", train, model)
    held_out = train if held_out is None else _images("held_out", held_out, model)
    was_training = model.training
    model.eval()
    try:
        evidence = collect(model, train, held_out, history, config)
    finally:
        model.train(was_training)
    found = findings(evidence, config, learned_sigma=model.config.likelihood.sigma != "fixed")
    return Diagnosis(name, kind_of_collapse(evidence, found), tuple(found), evidence)


def _images(name: str, x: Any, model: VAE) -> Tensor:
    x = torch.as_tensor(x)
    if x.dim() != 2 or x.shape[1] != model.pixels or len(x) < 2 or not x.is_floating_point():
        raise ValueError(f"{name} is {x.dtype} {tuple(x.shape)}: expected floats (images, {model.pixels}), two or more")
    return x.float().cpu()


def _bars(values: np.ndarray) -> str:
    """One character for each value, at most 40 of them."""
    highest = max(float(values.max()), 1e-9)
    return "".join(BARS[min(int(8 * value / highest), 7)] for value in values[:40])
