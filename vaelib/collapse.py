"""The experiments on posterior collapse, as configurations: a sweep of sigma, a full factorial and remedies one by one.

All of them are cheap: one hidden layer, batches of 50, few epochs. What they find is judged by `results`.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from itertools import product
from typing import Any, TypeVar

import pandas as pd
import torch
from torch import Tensor

from vaelib.config import pick
from vaelib.data import DataConfig, prepare
from vaelib.diagnosis import directions_in_use, expected_error
from vaelib.grid import amended
from vaelib.models import VAE
from vaelib.objectives import loss_function
from vaelib.recipes import Recipe, faces_recipe
from vaelib.runs import Run, RunConfig
from vaelib.sweep import train_all

__all__ = [
    "FACTORS",
    "REMEDIES",
    "SIGMAS",
    "cures",
    "factorial",
    "gradient_signal",
    "results",
    "sigma_run",
    "small",
    "train_cells",
    "with_sigma",
]

Key = TypeVar("Key", bound=Hashable)

FACTORS = ("sigma", "sigmoid", "latents", "recipe")
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
    return amended(
        small("modern", data, epochs, seed=seed),
        {
            "model.likelihood.sigma": "fixed",
            "model.likelihood.sigma_value": sigma,
            "model.likelihood.mean": "identity",
            "model.activation": "tanh",
            "training.learning_rate": 2e-3,
        },
    )


def factorial(
    data: DataConfig, pixels: int, epochs: int, latents: Sequence[int], seeds: int
) -> dict[tuple[str, str, int, str, int], RunConfig]:
    """Every combination of the `FACTORS` and the seeds: (sigma, sigmoid, latents, recipe, seed) -> configuration."""
    recipes: tuple[Recipe, Recipe] = ("report", "modern")
    means: dict[str, Any] = {"yes": "sigmoid", "no": "identity"}
    cells = {}
    for sigma, sigmoid, latent_dim, recipe, seed in product(SIGMAS, means, latents, recipes, range(seeds)):
        config = with_sigma(small(recipe, data, epochs, latent_dim=latent_dim, seed=seed), sigma, pixels)
        cells[sigma, sigmoid, latent_dim, recipe, seed] = amended(config, {"model.likelihood.mean": means[sigmoid]})
    return cells


def cures(ill: RunConfig, seeds: int) -> dict[tuple[str, int], RunConfig]:
    """`ill` with each of the `REMEDIES` alone: (remedy, seed) -> configuration."""
    cells = {}
    for (name, changes), seed in product(REMEDIES.items(), range(seeds)):
        config = amended(ill, {**changes, "seed": seed})
        share = config.objective.warmup_epochs
        cells[name, seed] = amended(config, {"objective.warmup_epochs": share * config.training.epochs})
    return cells


def train_cells(cells: Mapping[Key, RunConfig], **settings: Any) -> dict[Key, Run]:
    """The finished run of each cell; `train_all` takes the `settings`."""
    return dict(zip(cells, train_all(cells.values(), **settings), strict=True))


def gradient_signal(model: VAE, x: Tensor, config: RunConfig, seed: int = 0) -> float:
    """How far the gradient of a batch stands out of its noise: |mean g| / root of its total variance over batches.

    Taken with respect to all weights of `model` at once, over the batches of one pass through x (N, D).
    """
    generator = torch.Generator().manual_seed(seed)
    loss = loss_function(model, config.objective)
    batches = x[torch.randperm(len(x), generator=generator)].split(config.training.batch_size)[:-1]
    weights = list(model.parameters())
    gradients = [torch.autograd.grad(loss(batch, 0.0, generator)["loss"].mean(), weights) for batch in batches]
    g = torch.stack([torch.cat([part.flatten() for part in gradient]) for gradient in gradients])
    return float(g.mean(0).norm() / g.var(0).sum().sqrt())


def results(runs: Mapping[tuple[Any, ...], Run], names: Sequence[str]) -> pd.DataFrame:
    """One row for each run: its key's parts under `names`, then what it is worth on held-out images."""
    tests = {
        data: torch.from_numpy(prepare(data).test) for data in dict.fromkeys(run.config.data for run in runs.values())
    }
    rows = []
    for key, run in runs.items():
        test, x = run.metrics["test"], tests[run.config.data]
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
