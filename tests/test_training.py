"""The training loop on models small enough to know what must come out."""

import math

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from torch import nn

from vaelib.config import ConfigError
from vaelib.likelihoods import LikelihoodConfig
from vaelib.models import VAE, ModelConfig
from vaelib.objectives import ObjectiveConfig, loss_function
from vaelib.training import OPTIMISERS, NonFiniteLossError, TrainingConfig, averages, fit, pick_device


class Mean(nn.Module):
    """One vector; the squared distance to the data is least at the data's mean."""

    def __init__(self, pixels=3):
        super().__init__()
        self.value = nn.Parameter(torch.zeros(pixels))

    def loss(self, x, epoch, generator):
        return {"loss": (x - self.value).square().sum(-1), "epoch": torch.tensor(float(epoch))}


def data(n=64, pixels=3, seed=0):
    return torch.rand(n, pixels, generator=torch.Generator().manual_seed(seed))


RATES = {"adagrad": 1.0, "sgd": 0.1}  # the others: 0.05


@pytest.mark.parametrize("optimiser", sorted(OPTIMISERS))
def test_every_optimiser_finds_the_mean(optimiser):
    model, x = Mean(), data()
    config = TrainingConfig(
        optimiser=optimiser,
        learning_rate=RATES.get(optimiser, 0.05),
        schedule="cosine",
        batch_size=16,
        epochs=60,
        device="cpu",
    )
    fit(model, model.loss, x, config)
    torch.testing.assert_close(model.value.data, x.mean(0), atol=0.01, rtol=0)


def small_vae(seed=0):
    torch.manual_seed(seed)
    model = VAE(ModelConfig(latent_dim=2, hidden=(8,)), (3,))
    return model, loss_function(model, ObjectiveConfig())


def test_the_same_seed_gives_the_same_bits_and_another_seed_does_not():
    def train(seed):
        model, loss = small_vae()
        history = fit(
            model, loss, data(), TrainingConfig(epochs=3, batch_size=10), seed=seed, held_out={"test": data(9)}
        )
        return torch.cat([p.flatten() for p in model.parameters()]), history

    first, again, other = train(1), train(1), train(2)
    assert torch.equal(first[0], again[0]) and first[1].equals(again[1])
    assert not torch.equal(first[0], other[0])


def test_history_counts_samples_and_averages_over_images_not_batches():
    model, x = Mean(), data(10)
    config = TrainingConfig(learning_rate=1e-30, batch_size=4, epochs=2)  # batches of 4, 4 and 2; the model stays put
    history = fit(model, model.loss, x, config, held_out={"validation": data(5, seed=1), "test": data(7, seed=2)})
    assert history["samples_seen"].tolist() == [10, 20]
    assert history["train_loss"].tolist() == pytest.approx([x.square().sum(-1).mean().item()] * 2)
    assert history["test_loss"][1] == pytest.approx(data(7, seed=2).square().sum(-1).mean().item())
    assert {"epoch", "validation_loss"} <= set(history.columns)


def test_history_states_the_time_taken():
    model = Mean()
    history = fit(model, model.loss, data(), TrainingConfig(epochs=2))
    assert history.attrs["seconds"] > 0


def test_the_loss_is_told_how_far_training_is():
    seen = []
    model = Mean()

    def loss(x, epoch, generator):
        seen.append(epoch)
        return model.loss(x, epoch, generator)

    fit(model, loss, data(8), TrainingConfig(batch_size=4, epochs=2))
    assert seen == [0, 0.5, 1, 1.5]


def test_every_image_is_seen_once_an_epoch():
    seen = []
    model = Mean(1)

    def loss(x, epoch, generator):
        seen.extend(x.flatten().tolist())
        return model.loss(x, epoch, generator)

    fit(model, loss, torch.arange(10.0)[:, None], TrainingConfig(batch_size=3, epochs=1))
    assert sorted(seen) == list(range(10)) and seen != list(range(10))


def test_early_stop_brings_back_the_best_weights():
    model = Mean(1)
    train, validation = torch.ones(4, 1), torch.full((4, 1), 0.3)  # training moves past 0.3 on its way to 1
    config = TrainingConfig(optimiser="sgd", learning_rate=0.02, batch_size=4, epochs=100, patience=5)
    history = fit(model, model.loss, train, config, held_out={"validation": validation})
    best = history["validation_loss"].idxmin()
    assert len(history) == best + 6
    now = averages(model, model.loss, validation)["loss"]
    assert now == pytest.approx(history["validation_loss"].min())


@pytest.mark.parametrize(("settled", "best"), [(0, 10), (10, 100), (100, 100)])
def test_no_epoch_is_the_best_before_the_loss_has_settled(settled, best):
    """As in a KL warm-up, the loss grows for a while for reasons of its own."""
    model = Mean(1)

    def loss(x, epoch, generator):
        return {"loss": model.loss(x, epoch, generator)["loss"] + (100 if epoch > 10 else epoch)}

    config = TrainingConfig(optimiser="sgd", learning_rate=0.02, batch_size=4, epochs=100, patience=5)
    history = fit(model, loss, torch.ones(4, 1), config, held_out={"validation": torch.ones(4, 1)}, settled=settled)
    assert len(history) == (6 if settled == 0 else best)


def test_figures_are_recorded_as_they_were():
    """A figure may be a tensor that changes in place, such as a parameter."""
    model = Mean(1)

    def loss(x, epoch, generator):
        return model.loss(x, epoch, generator) | {"value": model.value.squeeze()}

    config = TrainingConfig(optimiser="sgd", learning_rate=0.5, batch_size=1, epochs=1)
    history = fit(model, loss, torch.ones(2, 1), config)
    assert history["train_value"].item() == 0.5  # 0 at the first step, 1 at the second


def test_a_loss_that_is_not_finite_stops_at_once_and_keeps_the_last_good_weights():
    model, steps = Mean(), []

    def loss(x, epoch, generator):
        steps.append(epoch)
        figures = model.loss(x, epoch, generator)
        return {"loss": figures["loss"] * (math.nan if len(steps) == 7 else 1)}

    after_an_epoch = Mean()
    config = TrainingConfig(epochs=1, batch_size=16)
    fit(after_an_epoch, after_an_epoch.loss, data(), config)
    with pytest.raises(
        NonFiniteLossError, match=r"nan at step 6 \(epoch 2 of 9\).*learning_rate \(now 0.001\)"
    ) as error:
        fit(model, loss, data(), config.replace(epochs=9))
    assert len(steps) == 7
    assert len(error.value.history) == 1
    assert error.value.model is model
    assert torch.equal(model.value, after_an_epoch.value)


def test_weight_decay_and_clipping_act():
    x = torch.full((4, 3), 100.0)
    model = Mean()
    fit(model, model.loss, x, TrainingConfig(optimiser="sgd", learning_rate=1.0, batch_size=4, epochs=1, clip_norm=0.5))
    assert model.value.norm().item() == pytest.approx(0.5, rel=1e-4)
    free, decayed = Mean(), Mean()
    for model, decay in ((free, 0.0), (decayed, 2.0)):
        fit(model, model.loss, x, TrainingConfig(optimiser="sgd", learning_rate=0.1, epochs=60, weight_decay=decay))
    torch.testing.assert_close(decayed.value, free.value / 2, rtol=1e-3, atol=0)  # 2 (v - 100) + 2 v = 0


def test_progress_can_be_shown_and_is_silent_in_logs(capfd):
    model = Mean()
    fit(model, model.loss, data(), TrainingConfig(epochs=1))
    assert capfd.readouterr().err == ""
    fit(model, model.loss, data(), TrainingConfig(epochs=1), progress=True)
    assert "training" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.zeros(0, 3), "empty"),
        (torch.zeros(3), r"expected a float tensor \(images, pixels\)"),
        (torch.zeros(3, 3, dtype=torch.uint8), "uint8"),
        (torch.tensor([[math.nan, 0, 0]]), "nan"),
        (np.zeros((3, 3)), "ndarray"),
    ],
)
def test_bad_data_is_refused_in_one_line(x, message):
    with pytest.raises(ValueError, match=message) as error:
        fit(Mean(), Mean().loss, x, TrainingConfig(epochs=1))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"optimiser": "adma"}, "did you mean 'adam'"),
        ({"epochs": 0}, "epochs=0"),
        ({"learning_rate": math.nan}, "learning_rate"),
        ({"learning_rate": -1.0}, "learning_rate=-1.0"),
        ({"batchsize": 3}, "did you mean 'batch_size'"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        TrainingConfig(**settings)


def test_patience_needs_something_to_watch_and_devices_must_exist():
    with pytest.raises(ValueError, match="patience=3 needs held-out data"):
        fit(Mean(), Mean().loss, data(), TrainingConfig(patience=3))
    with pytest.raises(ValueError, match="device='gpu'"):
        pick_device("gpu")


def test_a_trained_linear_vae_reaches_the_exact_evidence_of_probabilistic_pca():
    """Tipping & Bishop 1999: PCA gives the best linear-Gaussian model; a linear encoder can be its exact posterior."""
    source = np.random.default_rng(0)
    x = source.normal(size=(800, 2)) @ source.normal(size=(2, 5)) * 0.5 + 0.3 * source.normal(size=(800, 5))
    likelihood = LikelihoodConfig(name="gaussian", mean="identity", sigma="shared", sigma_value=0.5)
    config = ModelConfig(latent_dim=2, hidden=(), activation="identity", likelihood=likelihood)
    torch.manual_seed(0)
    model = VAE(config, (5,))
    tensor = torch.from_numpy(x).float()
    training = TrainingConfig(learning_rate=0.02, schedule="cosine", epochs=80, batch_size=50)
    fit(model, loss_function(model, ObjectiveConfig(samples=4)), tensor, training)
    truth = PCA(2).fit(x).score(x)  # average log-likelihood, nats
    bound = averages(model, loss_function(model, ObjectiveConfig(samples=500)), tensor)["elbo"]
    assert truth - 0.05 < bound < truth + 0.02
