"""The run store, on the bundled digits."""

import numpy as np
import pytest
import torch

from vaelib import runs
from vaelib import store as run_store
from vaelib.config import ConfigError
from vaelib.data import DataConfig, prepare
from vaelib.models import ModelConfig
from vaelib.recipes import RECIPES, digits_recipe, faces_recipe
from vaelib.runs import RunConfig, run_directory, train_or_load
from vaelib.sweep import train_all
from vaelib.training import NonFiniteLossError, TrainingConfig


@pytest.fixture(autouse=True)
def store(tmp_path, monkeypatch):
    monkeypatch.setenv("VAELIB_RUNS", str(tmp_path / "store"))
    return tmp_path / "store"


def config(**changes):
    small = RunConfig(
        data=DataConfig(name="digits"),
        model=ModelConfig(latent_dim=2, hidden=(8,)),
        training=TrainingConfig(epochs=2, device="cpu"),
    )
    return small.replace(**changes)


def leftovers(store):
    return [path.name for path in store.iterdir() if not path.name.endswith(".lock")]


def weights(run):
    return torch.cat([value.flatten() for value in run.model.state_dict().values()])


def test_a_run_is_trained_once_and_comes_back_the_same(monkeypatch):
    first = train_or_load(config())
    monkeypatch.setattr(runs, "fit", None)  # training again would fail
    again = train_or_load(config())
    assert torch.equal(weights(first), weights(again))
    assert first.history.equals(again.history) and first.metrics == again.metrics
    assert first.config == again.config == config()
    assert not again.model.training


def test_a_run_holds_what_was_promised(store):
    run = train_or_load(config())
    assert {path.name for path in run.path.iterdir()} == {
        "config.json",
        "environment.json",
        "history.csv",
        "manifest.json",
        "metrics.json",
        "model.safetensors",
    }
    assert [path.name for path in store.iterdir() if not path.name.endswith(".lock")] == [run.path.name]
    assert run.environment["torch"] == torch.__version__
    assert list(run.environment["data"]) and run.environment["threads"] >= 1
    assert set(run.metrics["test"]) == {"elbo", "reconstruction", "kl", "squared_error", "active_units"}
    elbo, reconstruction, kl = (run.metrics["test"][name] for name in ("elbo", "reconstruction", "kl"))
    assert elbo == pytest.approx(reconstruction - kl, rel=1e-5)
    assert {"train_elbo", "validation_elbo", "test_elbo"} <= set(run.history.columns)


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"model": ModelConfig(latent_dim=3, hidden=(8,))},
        {"training": TrainingConfig(epochs=3)},
        {"data": DataConfig(name="digits", split="time")},
    ],
)
def test_whatever_decides_the_result_decides_the_directory(change):
    assert run_directory(config(**change)) != run_directory(config())


DEFAULTS_OF_FORMAT_3 = {
    "data": {"split": None, "split_seed": 0, "pixels": "grey"},
    "model": {"latent_dim": 20, "hidden": [500, 500], "activation": "tanh", "init": "framework", "init_std": 0.1},
    "objective": {"bound": "elbo", "samples": 1, "kl": "analytic", "beta": 1.0, "warmup_epochs": 0.0, "free_bits": 0.0},
    "training": {
        **{"optimiser": "adam", "learning_rate": 1e-3, "schedule": "constant", "batch_size": 128, "epochs": 30},
        **{"weight_decay": 0.0, "clip_norm": None, "patience": None, "device": "auto"},
    },
    "likelihood": {
        **{"name": "bernoulli", "mean": "sigmoid"},
        **{"sigma": "shared", "sigma_value": 0.3, "sigma_floor": 0.5 / 255},
    },
    "prior": {"name": "standard-normal"},
}


def test_the_defaults_belong_to_the_format():
    """A run's name leaves out settings at their default: who changes one, and does not only add one, raises FORMAT."""
    settings = RunConfig().model_dump(mode="json")
    settings |= {"likelihood": settings["model"]["likelihood"], "prior": settings["model"]["prior"]}
    assert run_store.FORMAT == 3 and RunConfig().seed == 0
    for part, defaults in DEFAULTS_OF_FORMAT_3.items():
        assert defaults.items() <= settings[part].items()


def test_the_decoder_can_start_at_the_average_image():
    unmoved = config(training=TrainingConfig(epochs=1, learning_rate=1e-12, device="cpu"))
    run = train_or_load(unmoved.replace(model=unmoved.model.replace(output_bias="average")))
    average = torch.from_numpy(prepare(unmoved.data).train).mean(0).clamp(1e-3, 1 - 1e-3)
    torch.testing.assert_close(torch.sigmoid(run.model.decoder.outputs.bias), average)


def test_own_images_are_known_by_their_content(tmp_path):
    def directory(name, seed):
        images = np.random.default_rng(seed).integers(0, 256, (20, 3, 4), dtype=np.uint8)
        np.save(tmp_path / name, images)
        return run_directory(config(data=DataConfig(name=str(tmp_path / name))))

    first = directory("mine.npy", 0)
    (tmp_path / "elsewhere").mkdir()
    assert directory("elsewhere/mine.npy", 0) == first
    assert directory("mine.npy", 1) != first


def test_the_result_does_not_depend_on_torchs_global_seed():
    torch.manual_seed(1)
    first = weights(train_or_load(config()))
    run_directory(config()).rename(run_directory(config()).with_name("other"))
    torch.manual_seed(2)
    state = torch.random.get_rng_state()
    assert torch.equal(first, weights(train_or_load(config())))
    assert torch.equal(state, torch.random.get_rng_state())


def test_a_run_that_fails_leaves_nothing_behind(store):
    with pytest.raises(NonFiniteLossError):
        train_or_load(config(training=TrainingConfig(optimiser="sgd", learning_rate=1e30, epochs=2)))
    assert leftovers(store) == []


def test_bad_settings_are_refused_before_any_work():
    with pytest.raises(ConfigError, match="did you mean 'random'"):
        train_or_load(config(data=DataConfig(name="digits", split="randum")))
    with pytest.raises(ConfigError, match="did you mean 'digits'"):
        train_or_load(config(data=DataConfig(name="digitz")))


@pytest.mark.parametrize("likelihood", ["gaussian", "discretised-logistic", "bernoulli"])
def test_every_likelihood_trains_end_to_end(likelihood):
    model = ModelConfig(latent_dim=2, hidden=(8,), likelihood={"name": likelihood})
    history = train_or_load(config(model=model, training=TrainingConfig(epochs=8, batch_size=32))).history
    assert history["train_elbo"].iloc[-1] > history["train_elbo"].iloc[0]


def test_a_sweep_returns_runs_in_order_and_trains_each_once():
    configs = [config(seed=seed) for seed in (3, 1, 3)]
    found = train_all(configs, jobs=2)
    assert [run.config.seed for run in found] == [3, 1, 3]
    assert found[0].environment["threads"] == 1
    alone = train_all([config(seed=1, training=TrainingConfig(epochs=2, device="cpu"))], jobs=1)[0]
    assert torch.equal(weights(alone), weights(found[1]))


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


def test_an_unknown_recipe_is_named():
    with pytest.raises(ConfigError, match="did you mean 'modern'"):
        digits_recipe("moderm", DataConfig(name="digits"))
