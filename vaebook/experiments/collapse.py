"""The experiments on posterior collapse: a sweep of sigma, a full factorial, remedies one by one, and what they show.

All of them are cheap: one hidden layer, batches of 50, few epochs. What they find is judged by `results`.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from itertools import combinations, product
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from torch import Tensor

from vaebook.experiments.recipes import Recipe, faces_recipe
from vaelib.config import amended, pick
from vaelib.data import DataConfig
from vaelib.evaluation import directions_in_use, expected_error
from vaelib.likelihoods import LikelihoodConfig
from vaelib.linear import predict
from vaelib.models import new_model
from vaelib.runs import Run, RunConfig, data_of
from vaelib.sweeps import train_all

__all__ = [
    *("BIT", "OTHER", "REMEDIES", "SEEDS", "SIGMAS", "cures", "every_combination"),
    *("explained", "gradient_signal", "largest_awake", "results", "sigma_run"),
    *("small", "train_cells", "with_sigma"),
]

Key = TypeVar("Key", bound=Hashable)

BIT = math.log(2)
"""Nats: a code that costs more than this is called awake."""

SIGMAS = ("1", "1, mean over pixels", "learned from 1", "learned from 0.3", "per pixel", "optimal")
"""Who sets sigma: fixed at 1 (half the squared error), the same with errors averaged over pixels, one value learned for
all pixels from either start, one for each pixel said by the decoder from 1 on, or the closed form for the current
errors."""

REMEDIES: dict[str, dict[str, Any]] = {
    "none": {},
    "sigmoid": {"model.likelihood.mean": "sigmoid"},
    "less capacity": {"model.hidden": (50,)},
    "fewer latents": {"model.latent_dim": 5},
    "these three": {"model.likelihood.mean": "sigmoid", "model.hidden": (50,), "model.latent_dim": 5},
    "KL warm-up": {"objective.warmup_epochs": 0.5},  # as a share of all epochs
    "free bits": {"objective.free_bits": 0.5},
    "beta = 0.01": {"objective.beta": 0.01},
    "sigma learned": {"model.likelihood.sigma": "shared", "model.likelihood.sigma_value": 0.3},
    "sigma optimal": {"model.likelihood.sigma": "optimal"},
    "Bernoulli pixels": {"model.likelihood.name": "bernoulli", "model.likelihood.mean": "sigmoid"},
}
"""What may be changed in a model that has collapsed: first what the report names, then what it does not."""

SEEDS, OTHER = "between seeds", "higher interactions"


def small(recipe: Recipe, data: DataConfig, epochs: int, *, latent_dim: int = 20, seed: int = 0) -> RunConfig:
    """`recipe` for faces with one hidden layer of 200 units and batches of 50: seconds on one core."""
    config = faces_recipe(recipe, data, latent_dim=latent_dim, seed=seed, epochs=epochs)
    return amended(config, {"model.hidden": (200,), "training.batch_size": 50})


def with_sigma(config: RunConfig, sigma: str, pixels: int) -> RunConfig:
    """`config` with one of the `SIGMAS`; a mean over `pixels` is the sum with a KL that weighs as many times more."""
    pick("way to set sigma", sigma, SIGMAS)
    value = 0.3 if sigma in ("learned from 0.3", "optimal") else 1.0
    kinds = {"learned from 1": "shared", "learned from 0.3": "shared", "per pixel": "per-pixel", "optimal": "optimal"}
    changes = {"model.likelihood.sigma": kinds.get(sigma, "fixed"), "model.likelihood.sigma_value": value}
    if sigma == "1, mean over pixels":
        changes["objective.beta"] = float(pixels)
    return amended(config, changes)


def sigma_run(data: DataConfig, sigma: float, epochs: int, seed: int = 0) -> RunConfig:
    """A model with 20 latents, one hidden layer of tanh units, a fixed sigma, and no sigmoid on the mean."""
    likelihood = LikelihoodConfig(name="gaussian", sigma="fixed", sigma_value=sigma, mean="identity")
    changes = {"model.likelihood": likelihood, "model.activation": "tanh", "training.learning_rate": 2e-3}
    return amended(small("modern", data, epochs, seed=seed), changes)


def cures(ill: RunConfig, seeds: int) -> dict[tuple[str, int], RunConfig]:
    """`ill` with each of the `REMEDIES` alone: (remedy, seed) -> configuration."""
    cells = {}
    for (name, changes), seed in product(REMEDIES.items(), range(seeds)):
        warmup = changes.get("objective.warmup_epochs", 0) * ill.training.epochs
        cells[name, seed] = amended(ill, {**changes, "objective.warmup_epochs": warmup, "seed": seed})
    return cells


def every_combination(
    ill: RunConfig, factors: Mapping[str, Mapping[str, Mapping[str, Any]]], seeds: int
) -> dict[tuple[Any, ...], RunConfig]:
    """`ill` with one level of each of the `factors` (name -> level -> changes): (level, ..., seed) -> configuration."""
    cells = {}
    for chosen in product(*(levels.items() for levels in factors.values())):
        changes = {name: value for _, change in chosen for name, value in change.items()}
        for seed in range(seeds):
            key = (*(level for level, _ in chosen), seed)
            cells[key] = amended(ill, {**changes, "seed": seed})
    return cells


def largest_awake(values: ArrayLike, latent_dim: int = 20) -> float:
    """The sigma at which the best linear VAE of data with these eigenvalues spends a `BIT`; below it, more."""
    highest = float(np.max(values)) ** 0.5  # there no direction pays
    return float(brentq(lambda sigma: predict(values, latent_dim, sigma).kl - BIT, highest / 1000, highest))


def train_cells(cells: Mapping[Key, RunConfig], **settings: Any) -> dict[Key, Run]:
    """The finished run of each cell; `train_all` takes the `settings`."""
    return dict(zip(cells, train_all(cells.values(), **settings), strict=True))


def results(runs: Mapping[tuple[Any, ...], Run], names: Sequence[str]) -> pd.DataFrame:
    """One row for each run: its key's parts under `names`, then what it is worth on held-out images."""
    rows = []
    for key, run in runs.items():
        test, x = run.metrics["test"], torch.from_numpy(data_of(run).test)
        figures = {
            "KL": test["kl"],
            "directions": directions_in_use(run.model, x),
            "active units": test["active_units"],
            "squared error": test["squared_error"],
            "error, z drawn": expected_error(run.model, x),
            "bits/dim": test.get("bits_per_dim", float("nan")),
        }
        rows.append({**dict(zip(names, key, strict=True)), **figures})
    return pd.DataFrame(rows)


def gradient_signal(config: RunConfig, x: Tensor, image_shape: Sequence[int], seed: int = 0) -> float:
    """How far the first gradient stands out of its noise: |mean g| / root of its total variance over batches.

    Taken of the model before training, with respect to all its weights at once, over the batches of one pass through
    x (N, D).
    """
    model, generator = new_model(config.model, image_shape, config.seed), torch.Generator().manual_seed(seed)
    ((weights, loss),) = model.losses(config.objective)
    batches = x[torch.randperm(len(x), generator=generator)].split(config.training.batch_size)[:-1]
    gradients = [torch.autograd.grad(loss(batch, 0.0, generator)["loss"].mean(), weights) for batch in batches]
    g = torch.stack([torch.cat([part.flatten() for part in gradient]) for gradient in gradients])
    return float(g.mean(0).norm() / g.var(0).sum().sqrt())


def explained(table: pd.DataFrame, factors: Sequence[str], response: str) -> pd.Series:
    """The shares of the variance of `response` due to each factor alone, to each pair beyond that, and to the rest.

    `table` has one row for each run, with a column for each factor. Every combination of levels must have the same
    number of runs: then the shares do not depend on an order, and sum to 1. What runs of one combination differ by is
    "between seeds"; what is left, three factors or more at work together. (Analysis of variance; Fisher 1925.)

    Raises:
        ConfigError: no column has one of the names.
        ValueError: a combination is missing or has more runs than another, or `response` never varies.
    """
    for name in [*factors, response]:
        pick("column", name, [str(column) for column in table])
    factors = list(factors)
    counts = table.groupby(factors, observed=True)[response].count()
    wanted = table[factors].nunique().prod()
    if len(counts) != wanted or counts.nunique() != 1:
        raise ValueError(
            f"{len(counts)} of {wanted} combinations of {', '.join(factors)} have {counts.min()} to {counts.max()} "
            "runs: shares need a full factorial, with as many runs in each"
        )
    values = table[response].astype(float)
    total = (values - values.mean()).pow(2).sum()
    if not total > 0:
        raise ValueError(f"{response!r} is the same in all runs: there is nothing to explain")

    def between(*names: str) -> float:
        """The share of the squares between the means of the groups that these factors make."""
        means = values.groupby([table[name] for name in names], observed=True).transform("mean")
        return float((means - values.mean()).pow(2).sum()) / total

    shares = {name: between(name) for name in factors}
    for pair in combinations(factors, 2):
        shares[" × ".join(pair)] = between(*pair) - sum(shares[name] for name in pair)
    cells = between(*factors)
    shares[OTHER], shares[SEEDS] = cells - sum(shares.values()), 1 - cells
    return pd.Series(shares).clip(lower=0)
