"""Models made ill on purpose, each in one way, must be told apart; healthy ones must be called healthy."""

import math

import pytest
import torch
from torch import nn

from vaelib.data import DataConfig, prepare
from vaelib.diagnosis import diagnose, diagnose_model, directions_in_use
from vaelib.likelihoods import LikelihoodConfig
from vaelib.models import VAE, ModelConfig
from vaelib.objectives import ObjectiveConfig, loss_function
from vaelib.runs import RunConfig, train_or_load
from vaelib.training import TrainingConfig, fit

FACES = {"name": "gaussian", "sigma": "optimal", "sigma_value": 0.3}
DIGITS = {"name": "bernoulli"}


@pytest.fixture(scope="module")
def data():
    return {name: prepare(DataConfig(name=name)) for name in ("toyfaces", "digits")}


def config(likelihood=FACES, *, latent_dim=4, hidden=(64,), objective=None, training=None, activation="tanh"):
    settings = {"epochs": 30, "learning_rate": 3e-3, "batch_size": 50, "schedule": "cosine", "device": "cpu"}
    return RunConfig(
        data=DataConfig(name="digits" if likelihood is DIGITS else "toyfaces"),
        model=ModelConfig(
            latent_dim=latent_dim, hidden=hidden, activation=activation, likelihood=LikelihoodConfig(**likelihood)
        ),
        objective=ObjectiveConfig(**(objective or {})),
        training=TrainingConfig(**{**settings, **(training or {})}),
    )


def examined(data, config, images=None, spoil=None):
    """Trains a model of `config`, which `spoil` may change first, on all or the first `images`, and diagnoses it."""
    prepared = data[config.data.name]
    train, test = torch.from_numpy(prepared.train)[:images], torch.from_numpy(prepared.test)
    torch.manual_seed(0)
    model = VAE(config.model, prepared.data.shape)
    if spoil:
        spoil(model)
    loss = loss_function(model, config.objective)
    history = fit(model, loss, train, config.training, held_out={"test": test})
    return diagnose_model(model, train, test, history, config)


@pytest.mark.parametrize("likelihood", [FACES, DIGITS], ids=["gaussian", "bernoulli"])
def test_healthy_models_are_called_healthy(data, likelihood):
    found = examined(data, config(likelihood))
    assert found.healthy and found.collapse == "none" and found.causes == [], found
    assert found.verdict.startswith("healthy: the code tells")


def test_a_sigma_too_large_for_the_spectrum_is_named(data):
    found = examined(data, config({"name": "gaussian", "sigma": "fixed", "sigma_value": 1.0}, latent_dim=10))
    assert found.causes[0] == "variance" and found.collapse in ("whole", "partial"), found
    assert found.evidence.worth < 4 and found.evidence.worth_fair == 10
    assert "sigma is 1 where the errors are" in str(found) and "try: sigma='optimal', or sigma='shared'" in str(found)


def test_part_of_the_latents_may_collapse(data):
    found = examined(data, config({"name": "gaussian", "sigma": "fixed", "sigma_value": 0.5}, latent_dim=10))
    assert (found.collapse, found.causes[0]) == ("partial", "variance"), found
    assert 0 < found.evidence.directions <= found.evidence.worth < 10
    assert "latent directions are in use" in found.verdict


@pytest.mark.parametrize("likelihood", [FACES, DIGITS], ids=["gaussian", "bernoulli"])
def test_a_mean_over_pixels_is_named(data, likelihood):
    pixels = 64 if likelihood is DIGITS else 560
    found = examined(data, config(likelihood, objective={"beta": pixels}))
    assert (found.collapse, found.causes[0]) == ("whole", "scale"), found
    assert f"weighs as much as {pixels} nats of reconstruction" in found.findings[0].evidence


def test_a_sigma_beyond_the_range_of_a_pixel_is_a_matter_of_scale(data):
    mean_over_pixels = {"name": "gaussian", "sigma": "fixed", "sigma_value": math.sqrt(560 / 2)}
    found = examined(data, config(mean_over_pixels, training={"epochs": 5}))
    assert (found.collapse, found.causes[0]) == ("whole", "scale"), found
    assert "wider than the whole range of a pixel" in found.findings[0].evidence


def test_a_heavy_kl_is_named(data):
    found = examined(
        data, config({**FACES, "sigma": "fixed", "sigma_value": 0.1}, latent_dim=10, objective={"beta": 50})
    )
    assert found.causes[0] == "KL weight" and found.collapse == "partial", found
    assert found.findings[0].remedy.startswith("beta=1")


def test_a_learned_sigma_that_got_nowhere_is_the_optimisers(data):
    slow = {"optimiser": "adagrad", "learning_rate": 1e-3, "schedule": "constant", "epochs": 20}
    found = examined(data, config({"name": "gaussian", "sigma": "shared", "sigma_value": 1.0}, training=slow))
    assert (found.collapse, found.causes[0]) == ("partial", "optimiser"), found
    assert "sigma is learned, but stands at 0.9" in found.findings[0].evidence
    assert "(now 0.001 with adagrad)" in found.findings[0].remedy


def test_a_training_that_stopped_early_is_the_optimisers(data):
    found = examined(data, config(DIGITS, training={"epochs": 3, "learning_rate": 5e-4, "schedule": "constant"}))
    assert found.causes == ["optimiser"], found
    assert "the last fifth of the epochs still brought" in found.findings[0].evidence


def test_dead_units_are_named(data):
    def spoil(model):
        nn.init.constant_(model.encoder.body[0].bias, -100.0)

    found = examined(data, config(activation="relu"), spoil=spoil)
    assert (found.collapse, found.causes[0]) == ("whole", "dead units"), found
    assert "100% of encoder layer 1" in found.findings[0].evidence


def test_saturated_units_are_dead_too(data):
    def spoil(model):
        nn.init.constant_(model.encoder.body[0].bias, 50.0)

    found = examined(data, config(training={"epochs": 5}), spoil=spoil)
    assert (found.collapse, found.causes[0]) == ("whole", "dead units"), found
    assert found.verdict == "collapsed: the code is the same for all images"


def test_a_warm_up_longer_than_the_training_is_named(data):
    found = examined(data, config(objective={"warmup_epochs": 100}))
    assert "schedule" in found.causes and found.collapse == "none", found
    assert "beta ended at 0.3 of 1" in str(found)


def test_too_little_data_is_named(data):
    found = examined(data, config(hidden=(200,), latent_dim=10, training={"epochs": 150}), images=60)
    assert found.causes == ["data"] and found.collapse == "none", found
    assert "times that on the training images" in str(found) and "its 60 images by heart" in str(found)
    assert found.verdict == "no collapse, but there is something to improve: data"


def test_an_unexplained_collapse_is_called_that(data):
    def forget(model):
        for head in (model.encoder.mean, model.encoder.log_var):
            nn.init.zeros_(head.weight)
            nn.init.zeros_(head.bias)

    prepared = data["toyfaces"]
    model = VAE(config().model, (28, 20))
    forget(model)
    model.likelihood.log_variance.fill_(math.log(0.01))
    found = diagnose_model(model, prepared.train, prepared.test)
    assert (found.collapse, found.causes) == ("whole", ["unknown"]), found


def test_a_direction_askew_to_the_axes_counts_once():
    model = VAE(ModelConfig(latent_dim=3, hidden=(), likelihood=LikelihoodConfig(**FACES)), (4,))
    nn.init.zeros_(model.encoder.mean.weight)
    model.encoder.mean.weight.data[:, 0] = 1.0
    x = torch.rand(100, 4, generator=torch.Generator().manual_seed(0))
    assert directions_in_use(model, x) == 1


def test_a_run_of_the_store_is_examined_on_its_own_data(tmp_path, monkeypatch):
    monkeypatch.setenv("VAELIB_RUNS", str(tmp_path))
    quick = config(DIGITS, training={"epochs": 2})
    for pixels in ("grey", "dynamic"):
        run = train_or_load(quick.replace(data=DataConfig(name="digits", pixels=pixels)), progress=False)
        found = diagnose(run)
        assert found.name == "digits, z = 4" and found.evidence.epochs == 2
        assert len(found.evidence.kl_per_dim) == 4
    shown = found._repr_markdown_()
    assert shown.startswith(f"**{found.name}: {found.verdict}**") and "| KL by dimension |" in shown
    assert "| sigma |" not in shown  # Bernoulli pixels have none


def test_images_of_another_shape_are_refused():
    model = VAE(ModelConfig(latent_dim=2, hidden=(4,)), (4,))
    with pytest.raises(
        ValueError, match=r"train is torch.float32 \(5, 3\): expected floats \(images, 4\), two or more"
    ):
        diagnose_model(model, torch.zeros(5, 3))
    with pytest.raises(ValueError, match=r"held_out is torch.float32 \(1, 4\)"):
        diagnose_model(model, torch.zeros(5, 4), torch.zeros(1, 4))
