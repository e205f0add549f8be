"""The three ways of training that the book compares, as run configurations, and runs in groups.

"report" is the recipe of the report that this book re-creates, to the letter; where it is silent (the width of the
layers) we say what we took. "kingma-welling" is the original protocol (Kingma & Welling 2013, section 5 and appendix
C). "modern" is what a practitioner would do today: Adam, a step that decays to zero, smooth activations.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

from vaelib.config import amended, pick
from vaelib.data import DataConfig, load
from vaelib.likelihoods import LikelihoodConfig
from vaelib.runs import Run, RunConfig
from vaelib.sweeps import train_all

__all__ = ["GIVEN", "RECIPES", "Recipe", "digits_recipe", "faces_recipe", "metric", "seeds_of", "train_groups"]

Recipe = Literal["report", "kingma-welling", "modern"]
RECIPES: tuple[Recipe, ...] = get_args(Recipe)
GIVEN: dict[Recipe, str] = {
    "report": "report's recipe",
    "kingma-welling": "Kingma and Welling's recipe",
    "modern": "modern recipe",
}
"""What a finding calls them."""

Settings = dict[Recipe, dict[str, Any]]

SHARED: Settings = {
    "report": {"model.activation": "tanh", "training.optimiser": "adagrad", "training.learning_rate": 1e-3},
    "kingma-welling": {
        **{"model.activation": "tanh", "model.init": "normal", "model.init_std": 0.1},
        **{"training.optimiser": "adagrad", "training.learning_rate": 0.01, "training.batch_size": 100},
    },
    "modern": {
        **{"model.activation": "silu", "training.optimiser": "adam"},
        **{"training.learning_rate": 1e-3, "training.schedule": "cosine"},
    },
}
DIGITS: Settings = {
    "report": {"model.hidden": (500, 500), "training.batch_size": 128, "training.epochs": 30},
    "kingma-welling": {"model.hidden": (500,), "training.epochs": 20},
    "modern": {"model.hidden": (500, 500), "training.batch_size": 128, "training.epochs": 20},
}
FACES: Settings = {
    "report": {"model.hidden": (200, 200), "training.batch_size": 64, "training.epochs": 300},
    "kingma-welling": {"model.hidden": (200,), "training.epochs": 300},
    "modern": {"model.hidden": (500,), "training.batch_size": 64, "training.epochs": 500},
}
FACES_LIKELIHOOD: dict[Recipe, LikelihoodConfig] = {
    "report": LikelihoodConfig(name="gaussian", sigma="fixed", sigma_value=1.0),  # half the squared error
    "kingma-welling": LikelihoodConfig(name="gaussian", sigma="per-pixel", sigma_value=1.0),  # their appendix C.2
    "modern": LikelihoodConfig(name="gaussian", sigma="shared"),
}


def digits_recipe(
    recipe: Recipe, data: DataConfig, *, latent_dim: int = 20, seed: int = 0, epochs: int | None = None
) -> RunConfig:
    """`recipe` for images like MNIST: a Bernoulli decoder. `epochs` None keeps the recipe's own."""
    return _config(recipe, DIGITS, LikelihoodConfig(name="bernoulli"), data, latent_dim, seed, epochs)


def faces_recipe(
    recipe: Recipe,
    data: DataConfig,
    *,
    latent_dim: int = 20,
    seed: int = 0,
    epochs: int | None = None,
    likelihood: LikelihoodConfig | None = None,
) -> RunConfig:
    """`recipe` for grey images like Frey Faces: a Gaussian decoder, by default with the recipe's own sigma."""
    pick("recipe", recipe, RECIPES)
    return _config(recipe, FACES, likelihood or FACES_LIKELIHOOD[recipe], data, latent_dim, seed, epochs)


def seeds_of(config: RunConfig, seeds: int) -> list[RunConfig]:
    """`config` with the seeds 0, 1, ..., `seeds` - 1; the data's split stays the same."""
    return [config.replace(seed=seed) for seed in range(seeds)]


def train_groups(groups: Mapping[str, Sequence[RunConfig]], **settings: Any) -> dict[str, list[Run]]:
    """The finished runs of every group, trained together by `train_all`, which takes the `settings`."""
    finished = iter(train_all([config for group in groups.values() for config in group], **settings))
    return {name: [next(finished) for _ in group] for name, group in groups.items()}


def metric(group: Sequence[Run], name: str, part: str = "test") -> list[float]:
    """One figure of every run of a group: ``metric(runs, "elbo")``."""
    return [run.metrics[part][name] for run in group]


def _config(
    recipe: Recipe, own: Settings, likelihood: LikelihoodConfig, data: DataConfig, z: int, seed: int, epochs: int | None
) -> RunConfig:
    pick("recipe", recipe, RECIPES)
    changes = {**SHARED[recipe], **own[recipe], "model.latent_dim": z, "model.likelihood": likelihood}
    if recipe == "kingma-welling":  # a N(0, I) prior over the weights, one share of it per image
        images = load(data.name, data.size, data.colour)
        changes["training.weight_decay"] = 1 / len(images.split(data.split, data.split_seed).train)
    if epochs is not None:
        changes["training.epochs"] = epochs
    return amended(RunConfig(data=data, seed=seed), changes)
