"""A sweep over the number of latents: its runs, by recipe and size, and what can be read off them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from vaelib.appearance import edge_energy, effective_dimensions, fine_detail, variety
from vaelib.data import DataConfig
from vaelib.groups import figures, repeated
from vaelib.models import VAE
from vaelib.recipes import RECIPES
from vaelib.runs import Run, RunConfig
from vaelib.sampling import coverage

__all__ = ["Convergence", "appearance_table", "by_size", "planned", "share_in_order", "three_kinds", "to_converge"]

Sweep = Mapping[tuple[str, int], Sequence[Run]]
"""(recipe, number of latents) -> the runs of that pair, one for each seed."""

RELATIVE = ("variety", "directions", "edges", "fine detail")  # to real pictures


class Convergence(NamedTuple):
    """When a run had come so far: passes over the data, images seen, steps of the optimiser."""

    epochs: int
    images: int
    steps: float


def planned(
    recipe_of: Callable[..., RunConfig],
    data: DataConfig,
    sizes: Sequence[int],
    *,
    epochs: int | None,
    seeds: int = 1,
    repeat: Collection[int] = (),
    recipes: Collection[str] = RECIPES,
) -> dict[tuple[str, int], list[RunConfig]]:
    """What `groups.train_groups` shall train: every one of `recipes` at every size, by (recipe, size).

    `recipe_of` is `digits_recipe` or `faces_recipe`. The sizes in `repeat` have `seeds` seeds, the others have one.
    """
    return {
        (name, size): repeated(recipe_of(name, data, latent_dim=size, epochs=epochs), seeds if size in repeat else 1)
        for name in recipes
        for size in sizes
    }


def by_size(runs: Sweep, recipe: str, figure: str, part: str = "test", sign: int = 1) -> dict[int, list[float]]:
    """Number of latents -> that figure of its runs, times `sign`: ``by_size(runs, "modern", "elbo", sign=-1)``."""
    return {
        size: [sign * value for value in figures(group, figure, part)]
        for (name, size), group in runs.items()
        if name == recipe
    }


def share_in_order(runs: Sweep, recipe: str, column: str, low: int, high: int) -> float:
    """Over all epochs and all pairs of neighbouring sizes in `low`..`high`: how often the larger has the larger value.

    `column` is one of the history, such as "test_kl"; seeds are averaged first.

    Raises:
        ValueError: fewer than two sizes.
    """
    sizes = sorted(size for name, size in runs if name == recipe and low <= size <= high)
    if len(sizes) < 2:
        raise ValueError(f"{recipe!r} has {len(sizes)} sizes from {low} to {high}: an order needs two or more")
    values = [np.mean([run.history[column] for run in runs[recipe, size]], axis=0) for size in sizes]
    return float((np.diff(values, axis=0) > 0).mean())


def to_converge(run: Run, share: float = 0.95) -> Convergence:
    """When the test bound had made `share` of all that it ever gains after the first epoch."""
    bound = run.history["test_elbo"]
    goal = bound.iloc[0] + share * (bound.max() - bound.iloc[0])
    row = run.history[bound >= goal].iloc[0]
    return Convergence(
        int(row["epoch"]), int(row["samples_seen"]), row["samples_seen"] / run.config.training.batch_size
    )


@torch.no_grad()
def three_kinds(model: VAE, x: Tensor, seed: int = 0) -> dict[str, Tensor]:
    """Pictures E[x|z], as many of each kind as there are in x (N, D), by where z is from:

    "samples" the prior, "reconstructions" the mean of q(z|x), "codes" a draw from it.
    """
    mean, log_var = model.encode(x)
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(mean.shape, generator=generator)
    return {
        "samples": model.sample(len(x), generator),
        "reconstructions": model.mean_image(mean),
        "codes": model.mean_image(mean + (log_var / 2).exp() * noise),
    }


def appearance_table(
    runs: Sweep, x: Tensor, shape: tuple[int, int], reader: Any = None, coded: Tensor | None = None
) -> pd.DataFrame:
    """How varied and how sharp the `three_kinds` of pictures are, a row for each run and kind; x (N, D) are real.

    "reconstructions" and "codes" are of the images `coded` (M, D), and there are M samples; None: of x itself. But then
    an image may be covered by its own reconstruction, so that coverage asks no more than that this lies near.

    Columns "variety", "directions", "edges" and "fine detail" are relative to x, "coverage" is that of x. A `reader`, a
    fitted classifier with `predict_proba`, adds "legibility", its mean confidence, and "classes", the exponential of
    the entropy of its mean vote.
    """
    real, rows = x.numpy(), []
    ours = _appearance(real, shape)
    for (recipe, size), group in runs.items():
        for run in group:
            for kind, made in three_kinds(run.model, x if coded is None else coded).items():
                theirs = _appearance(made.numpy(), shape)
                row = {name: theirs[name] / ours[name] for name in RELATIVE}
                row["coverage"] = coverage(real, made.numpy()).covered.mean()
                row |= {} if reader is None else _readings(reader.predict_proba(made.numpy()))
                rows.append({"recipe": recipe, "latents": size, "seed": run.config.seed, "kind": kind, **row})
    return pd.DataFrame(rows)


def _appearance(pictures: NDArray[Any], shape: tuple[int, int]) -> dict[str, float]:
    return {
        "variety": variety(pictures),
        "directions": effective_dimensions(pictures),
        "edges": edge_energy(pictures, shape).mean(),
        "fine detail": fine_detail(pictures, shape).mean(),
    }


def _readings(votes: NDArray[Any]) -> dict[str, float]:
    """From the votes (N, classes) of a classifier."""
    mean = votes.mean(axis=0)
    entropy = -(mean[mean > 0] * np.log(mean[mean > 0])).sum()
    return {"legibility": votes.max(axis=1).mean(), "classes": float(np.exp(entropy))}
