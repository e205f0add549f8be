"""The recipes are the ones that the papers name, and groups of runs keep their order."""

import numpy as np
import pytest
import torch
from PIL import Image

from vaebook.experiments.recipes import RECIPES, digits_recipe, faces_recipe, metric, seeds_of, train_groups
from vaelib.config import ConfigError
from vaelib.data import DataConfig, images
from vaelib.runs import train


@pytest.mark.parametrize("recipe", RECIPES)
def test_recipes_are_what_the_papers_say(recipe):
    digits = digits_recipe(recipe, DataConfig(name="digits"), latent_dim=5, epochs=1)
    faces = faces_recipe(recipe, DataConfig(name="toyfaces"), seed=4)
    assert digits.model.latent_dim == 5 and digits.training.epochs == 1 and faces.seed == 4
    assert digits.model.likelihood.name == "bernoulli" and faces.model.likelihood.name == "gaussian"
    if recipe == "report":
        for run, batch_size in ((digits, 128), (faces, 64)):
            assert (run.training.optimiser, run.training.learning_rate) == ("adagrad", 1e-3)
            assert run.training.batch_size == batch_size and len(run.model.hidden) == 2
        assert 300 <= faces.training.epochs <= 500
    if recipe == "kingma-welling":
        assert (digits.model.hidden, faces.model.hidden) == ((500,), (200,))
        assert faces.training.weight_decay == pytest.approx(1 / 1565)
        assert (faces.training.optimiser, faces.training.learning_rate) == ("adagrad", 0.01)


@pytest.mark.parametrize("make", [digits_recipe, faces_recipe])
@pytest.mark.parametrize("recipe", RECIPES)
def test_recipes_run_on_colour_photographs_in_class_folders(tmp_path, monkeypatch, make, recipe):
    monkeypatch.setenv("VAELIB_RUNS", str(tmp_path / "runs"))
    for number, pixels in enumerate(np.random.default_rng(0).integers(0, 256, (12, 4, 5, 3), dtype=np.uint8)):
        (tmp_path / "pets" / ["cat", "dog"][number % 2]).mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / "pets" / ["cat", "dog"][number % 2] / f"{number}.png")
    run = train(make(recipe, DataConfig(name=str(tmp_path / "pets")), latent_dim=2, epochs=1), progress=False)
    assert run.model.image_shape == (4, 5, 3) and run.model.sample(2, torch.Generator().manual_seed(0)).shape == (2, 60)


def test_an_unknown_recipe_is_named():
    with pytest.raises(ConfigError, match="did you mean 'modern'"):
        digits_recipe("moderm", DataConfig(name="digits"))
    with pytest.raises(ConfigError, match="did you mean 'modern'"):
        faces_recipe("moderm", DataConfig(name="digits"))


def test_naming_a_run_scales_no_image(monkeypatch):
    monkeypatch.setattr(images.ImageData, "matrix", None)
    for recipe in RECIPES:
        faces_recipe(recipe, DataConfig(name="toyfaces", split="time"))


def test_groups_are_trained_together_and_keep_their_order(tmp_path, monkeypatch):
    monkeypatch.setenv("VAELIB_RUNS", str(tmp_path))
    config = digits_recipe("modern", DataConfig(name="digits"), latent_dim=2, epochs=1)
    small = config.replace(model=config.model.replace(hidden=(8,)))
    groups = {"two": seeds_of(small, 2), "again": seeds_of(small, 1), "none": []}
    runs = train_groups(groups, jobs=1)
    assert {name: [run.config for run in group] for name, group in runs.items()} == groups
    found = metric(runs["two"], "elbo", "validation")
    assert found == [run.metrics["validation"]["elbo"] for run in runs["two"]] and np.unique(found).size == 2
