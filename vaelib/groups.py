"""Runs in named groups: the seeds of one setting stand together, to be trained, compared and averaged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from vaelib.runs import Run, RunConfig
from vaelib.sweep import train_all

__all__ = ["figures", "repeated", "train_groups"]


def repeated(config: RunConfig, seeds: int) -> list[RunConfig]:
    """`config` with the seeds 0, 1, ..., `seeds` - 1; the data's split stays the same."""
    return [config.replace(seed=seed) for seed in range(seeds)]


def train_groups(groups: Mapping[str, Sequence[RunConfig]], **settings: Any) -> dict[str, list[Run]]:
    """The finished runs of every group, trained together by `train_all`, which takes the `settings`."""
    finished = iter(train_all([config for group in groups.values() for config in group], **settings))
    return {name: [next(finished) for _ in group] for name, group in groups.items()}


def figures(group: Sequence[Run], name: str, part: str = "test") -> list[float]:
    """One figure of every run of a group: ``figures(runs, "elbo")``."""
    return [run.metrics[part][name] for run in group]
