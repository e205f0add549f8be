"""What wakes the upper level of a hierarchy: a half fraction of a factorial, and the effects that it shows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from typing import Any, NamedTuple

import pandas as pd
import torch
from torch import Tensor

from vaelib.evaluation import ACTIVE, BATCH
from vaelib.models import HierarchicalConfig, HierarchicalVAE, new_model

__all__ = ["HELPS", "Effect", "active_by_level", "effect", "half_fraction", "one_level", "weights_of"]

HELPS: dict[str, dict[str, Any]] = {
    "warm-up": {"objective.warmup_epochs": 0.4},  # as a share of all epochs
    "batch norm": {"model.batch_norm": True},
    "ladder": {"model.inference": "ladder"},
    "free bits": {"objective.free_bits": 2.0},  # nats a level
}
"""What is said to wake upper levels: the settings that each changes in a plain bottom-up hierarchy."""


def half_fraction(names: Sequence[str]) -> list[dict[str, bool]]:
    """Half of all combinations: the last factor is on where an odd number of the others is.

    With four factors no effect of one is then mixed up with that of another, nor with that of a pair (a design of
    resolution IV, 2^(4-1), Box et al.); pairs are mixed up with pairs.
    """
    *free, last = names
    every = (dict(zip(free, chosen, strict=True)) for chosen in product((False, True), repeat=len(free)))
    return [{**cell, last: sum(cell.values()) % 2 == 1} for cell in every]


class Effect(NamedTuple):
    """The mean with a factor on, less that with it off, and its standard error from the spread between seeds."""

    value: float
    error: float


def effect(table: pd.DataFrame, factor: str, response: str, factors: Sequence[str]) -> Effect:
    """The main effect of one factor in `table`, a row for each run, where every cell of `factors` has equally many.

    Raises:
        ValueError: a single run a cell: there is no spread between seeds then.
    """
    cells = table.groupby(list(factors))[response]
    spare = len(table) - cells.ngroups
    if spare < 1:
        raise ValueError(f"{len(table)} runs in {cells.ngroups} cells: a standard error needs two seeds a cell or more")
    variance = (table[response] - cells.transform("mean")).pow(2).sum() / spare
    means = table.groupby(factor)[response].mean()
    return Effect(float(means[True] - means[False]), math.sqrt(4 * variance / len(table)))


@torch.no_grad()
def active_by_level(model: HierarchicalVAE, x: Tensor) -> list[int]:
    """How many latents of each level, z_1 first, have a posterior mean that varies over x (N, D)."""
    codes = torch.cat([model.codes(batch) for batch in x.split(BATCH)])
    return [int((level.var(0) > ACTIVE).sum()) for level in model.split(codes)]


def weights_of(model: torch.nn.Module) -> int:
    """The number of trained weights."""
    return sum(weight.numel() for weight in model.parameters())


def one_level(like: HierarchicalConfig, shape: Sequence[int]) -> HierarchicalConfig:
    """`like` with all its latents in one level, and layers as much wider as gives it as nearly as many weights."""

    def weights(config: HierarchicalConfig) -> int:
        with torch.device("meta"):  # counted, not made
            return weights_of(new_model(config, shape))

    def wide(factor: int) -> HierarchicalConfig:  # in hundredths
        hidden = tuple(max(1, round(width * factor / 100)) for width in like.hidden)
        return like.replace(latents=(sum(like.latents),), hidden=hidden)

    target = weights(like)
    return min((wide(factor) for factor in range(100, 200)), key=lambda one: abs(weights(one) - target))
