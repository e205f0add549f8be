"""The three ways of training that the book compares, as run configurations.

"report" is the recipe of the report that this book re-creates, to the letter; where it is silent (the width of the
layers) we say what we took. "kingma-welling" is the original protocol (Kingma & Welling 2013, section 5 and appendix
C). "modern" is what a practitioner would do today: Adam, a step that decays to zero, smooth activations.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

from vaelib.config import pick
from vaelib.data import DataConfig, load
from vaelib.likelihoods import LikelihoodConfig
from vaelib.models import ModelConfig
from vaelib.runs import RunConfig
from vaelib.training import TrainingConfig

__all__ = ["RECIPES", "Recipe", "digits_recipe", "faces_recipe"]

Recipe = Literal["report", "kingma-welling", "modern"]
RECIPES: tuple[Recipe, ...] = get_args(Recipe)

SHARED: dict[Recipe, dict[str, Mapping[str, Any]]] = {
    "report": {
        "model": {"activation": "tanh"},
        "training": {"optimiser": "adagrad", "learning_rate": 1e-3},
    },
    "kingma-welling": {
        "model": {"activation": "tanh", "init": "normal", "init_std": 0.1},
        "training": {"optimiser": "adagrad", "learning_rate": 0.01, "batch_size": 100},
    },
    "modern": {
        "model": {"activation": "silu"},
        "training": {"optimiser": "adam", "learning_rate": 1e-3, "schedule": "cosine"},
    },
}
DIGITS: dict[Recipe, dict[str, Mapping[str, Any]]] = {
    "report": {"model": {"hidden": (500, 500)}, "training": {"batch_size": 128, "epochs": 30}},
    "kingma-welling": {"model": {"hidden": (500,)}, "training": {"epochs": 20}},
    "modern": {"model": {"hidden": (500, 500)}, "training": {"batch_size": 128, "epochs": 20}},
}
FACES: dict[Recipe, dict[str, Mapping[str, Any]]] = {
    "report": {"model": {"hidden": (200, 200)}, "training": {"batch_size": 64, "epochs": 300}},
    "kingma-welling": {"model": {"hidden": (200,)}, "training": {"epochs": 300}},
    "modern": {"model": {"hidden": (500,)}, "training": {"batch_size": 64, "epochs": 500}},
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
    return _run(recipe, DIGITS, LikelihoodConfig(name="bernoulli"), data, latent_dim, seed, epochs)


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
    return _run(recipe, FACES, likelihood or FACES_LIKELIHOOD[recipe], data, latent_dim, seed, epochs)


def _run(
    recipe: Recipe,
    sizes: dict[Recipe, dict[str, Mapping[str, Any]]],
    likelihood: LikelihoodConfig,
    data: DataConfig,
    latent_dim: int,
    seed: int,
    epochs: int | None,
) -> RunConfig:
    pick("recipe", recipe, RECIPES)
    model = {**SHARED[recipe]["model"], **sizes[recipe]["model"], "latent_dim": latent_dim, "likelihood": likelihood}
    training = {**SHARED[recipe]["training"], **sizes[recipe]["training"]}
    if recipe == "kingma-welling":  # a N(0, I) prior over the weights, one share of it per image
        training["weight_decay"] = 1 / len(load(data.name).split(data.split, data.split_seed).train)
    if epochs is not None:
        training["epochs"] = epochs
    return RunConfig(data=data, model=ModelConfig(**model), training=TrainingConfig(**training), seed=seed)
