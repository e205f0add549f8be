"""Several models in one program, beside `fit` alone: milliseconds of the processor for each model and step."""

from __future__ import annotations

import statistics
import time
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from bench import machine
from bench.others import Others
from bench.with_vaelib import model_config, training_config
from bench.works import WORKS, Work
from vaelib.members import Member, fit_members
from vaelib.models import VAE, ObjectiveConfig
from vaelib.runs import RunConfig
from vaelib.training import fit

__all__ = ["COUNTS", "SHAPES", "measure"]

COUNTS = (2, 4, 8, 16)
SHAPES = {
    "faces 560-200-200": replace(WORKS["frey"], hidden=(200, 200)),
    "faces 560-500": WORKS["frey"],
    "digits 784-500-500": WORKS["large"],
}


def measure(quick: bool) -> dict[str, Any]:
    """Each shape alone and with so many members, in turns, so that what else the machine does meets all alike.

    Each figure is the median over rounds, of which the first is a warm-up. It counts this process's own time.
    """
    rounds, steps, counts = (1, 2, COUNTS[:1]) if quick else (8, 20, COUNTS)
    others, shapes = Others(), {}
    for name, work in SHAPES.items():
        x = torch.rand(steps * work.batch_size, work.pixels, generator=torch.Generator().manual_seed(0))
        taken: dict[str, list[float]] = {}
        for _ in range(rounds + 1):
            for count in (1, *counts):
                taken.setdefault(str(count), []).append(1000 * _seconds(work, x, count) / steps / count)
        shapes[name] = {count: statistics.median(values[1:]) for count, values in taken.items()}
    return {"machine": machine.measure(), "steps": rounds * steps, "other_cores": others.cores(), "ms": shapes}


def _seconds(work: Work, x: Tensor, count: int) -> float:
    """Of the processor, for one epoch of so many models."""
    training = training_config(work).replace(epochs=1)
    models = [VAE(model_config(work), (work.pixels,)) for _ in range(count)]
    if count == 1:
        losses = models[0].losses(ObjectiveConfig())
        start = time.process_time()
        fit(models[0], losses, x, training, progress=False)
    else:
        members = [Member(model, RunConfig(training=training, seed=seed)) for seed, model in enumerate(models)]
        start = time.process_time()
        fit_members(members, x, progress=False)
    return time.process_time() - start
