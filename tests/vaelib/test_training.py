"""The training loop on models small enough to know what must come out."""

import io
import math
import pickle
import re

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from torch import nn
from tqdm.std import tqdm

from vaelib import training
from vaelib.config import ConfigError
from vaelib.likelihoods import Gaussian, LikelihoodConfig
from vaelib.models import VAE, ObjectiveConfig, VAEConfig
from vaelib.store import Checkpoint
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
    model = VAE(VAEConfig(latent_dim=2, hidden=(8,)), (3,))
    return model, model.losses(ObjectiveConfig())


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


@pytest.mark.parametrize("waits", [True, False], ids=["cpu", "as-on-a-gpu"])
def test_a_loss_that_is_not_finite_names_its_step_and_keeps_the_last_good_weights(waits, monkeypatch):
    """On a GPU nothing waits for a loss within an epoch: it is found when the epoch is over, and named all the same."""
    monkeypatch.setattr("vaelib.training._answers_at_once", lambda device: waits)
    model, steps = Mean(), []

    def loss(x, epoch, generator):
        steps.append(epoch)
        figures = model.loss(x, epoch, generator)
        return {"loss": figures["loss"] * (math.nan if len(steps) == 7 else 1)}

    after_an_epoch = Mean()
    config = TrainingConfig(epochs=1, batch_size=16)
    fit(after_an_epoch, after_an_epoch.loss, data(), config)
    with pytest.raises(NonFiniteLossError, match=r"nan at step 6, epoch 2 of 9;.*learning_rate \(now 0.001\)") as error:
        fit(model, loss, data(), config.replace(epochs=9))
    assert len(steps) == (7 if waits else 8)  # an epoch has four steps
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
    assert "epoch 1/1 100%" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.zeros(0, 3), "empty"),
        (torch.zeros(3), r"expected a torch.float32 tensor \(images, pixels\)"),
        (torch.zeros(3, 3, dtype=torch.float64), r"torch.float64 \(3, 3\): expected a torch.float32"),
        (torch.zeros(3, 3, dtype=torch.uint8), "uint8"),
        (torch.tensor([[math.nan, 0, 0]]), "nan"),
        (np.zeros((3, 3)), "ndarray"),
    ],
    ids=["empty", "flat", "double", "bytes", "nan", "numpy"],
)
def test_bad_data_is_refused_in_one_line(x, message):
    with pytest.raises(ValueError, match=message) as error:
        fit(Mean(), Mean().loss, x, TrainingConfig(epochs=1))
    assert "\n" not in str(error.value)


def test_images_that_the_model_refuses_are_refused_before_the_first_step():
    model, loss = small_vae()
    before = [weight.clone() for weight in model.parameters()]
    for held_out, name in (({}, "train"), ({"test": 255 * data(9)}, "test")):
        x = data() if held_out else 255 * data()
        with pytest.raises(ValueError, match=rf"{name} data: pixels must lie in \[0, 1\]; these go from \d"):
            fit(model, loss, x, TrainingConfig(epochs=1), held_out=held_out)
    with pytest.raises(ValueError, match=r"train data: x is torch.float32 \(64, 4\): expected torch.float32 .*, 3\)"):
        fit(model, loss, data(pixels=4), TrainingConfig(epochs=1))
    assert all(torch.equal(*pair) for pair in zip(before, model.parameters(), strict=True))


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


def test_a_loss_that_is_not_finite_from_the_first_does_not_blame_the_learning_rate():
    model = Mean()
    with pytest.raises(NonFiniteLossError, match=r"weights of the start. No step was taken before: look at") as error:
        fit(model, lambda x, epoch, generator: {"loss": model.value.sum() * math.nan}, data(), TrainingConfig())
    assert "learning_rate" not in str(error.value)


def test_a_last_step_that_diverges_is_seen_in_the_weights_or_on_held_out_data():
    for held_out in ({}, {"validation": data()}):
        model = Mean()
        config = TrainingConfig(optimiser="sgd", learning_rate=1e38, batch_size=64, epochs=1, device="cpu")
        with pytest.raises(NonFiniteLossError, match="at the end of epoch 1 of 1; the model keeps its weights of the"):
            fit(model, lambda x, *_, model=model: {"loss": model.value.sum() * 1e3}, data(), config, held_out=held_out)
        assert torch.equal(model.value.data, torch.zeros(3))


def test_a_failure_reaches_the_parent_of_a_process_whole():
    model = Mean()
    with pytest.raises(NonFiniteLossError) as error:
        fit(model, lambda x, *_: {"loss": model.value.sum() * math.nan}, data(), TrainingConfig())
    again = pickle.loads(pickle.dumps(error.value))
    assert str(again) == str(error.value) and torch.equal(again.model.value, model.value)


def test_patience_needs_something_to_watch_and_devices_must_exist():
    with pytest.raises(ValueError, match="patience=3 needs held-out data"):
        fit(Mean(), Mean().loss, data(), TrainingConfig(patience=3))
    with pytest.raises(ValueError, match="device='gpu'"):
        pick_device("gpu")


class OfAnyNumbers(Gaussian):
    """Its pixels need not lie in [0, 1]."""

    def check(self, x):
        pass


def test_a_trained_linear_vae_reaches_the_exact_evidence_of_probabilistic_pca():
    """Tipping & Bishop 1999: PCA gives the best linear-Gaussian model; a linear encoder can be its exact posterior."""
    source = np.random.default_rng(0)
    x = source.normal(size=(800, 2)) @ source.normal(size=(2, 5)) * 0.5 + 0.3 * source.normal(size=(800, 5))
    likelihood = OfAnyNumbers(LikelihoodConfig(name="gaussian", mean="identity", sigma="shared", sigma_value=0.5))
    torch.manual_seed(0)
    model = VAE(VAEConfig(latent_dim=2, hidden=(), activation="identity"), (5,), likelihood=likelihood)
    tensor = torch.from_numpy(x).float()
    training = TrainingConfig(learning_rate=0.02, schedule="cosine", epochs=80, batch_size=50)
    fit(model, model.losses(ObjectiveConfig(samples=4)), tensor, training)
    truth = PCA(2).fit(x).score(x)  # average log-likelihood, nats
    bound = averages(model, model.losses(ObjectiveConfig(samples=500)), tensor)["elbo"]
    assert truth - 0.05 < bound < truth + 0.02


# What is told on the way, and which epoch was kept


def test_each_epoch_is_told_as_it_comes():
    rows, model = [], Mean()
    history = fit(model, model.loss, data(), TrainingConfig(epochs=3), on_epoch=rows.append)
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert history.drop(columns="kept").to_dict("records") == rows


def test_what_is_done_with_an_epochs_figures_changes_no_history():
    model, plain = Mean(), Mean()
    history = fit(model, model.loss, data(), TrainingConfig(epochs=2), on_epoch=dict.clear)
    assert history.equals(fit(plain, plain.loss, data(), TrainingConfig(epochs=2)))


def test_a_caller_that_raises_stops_the_training():
    def enough(row):
        if row["epoch"] == 2:
            raise StopIteration

    model, other = Mean(), Mean()
    with pytest.raises(StopIteration):
        fit(model, model.loss, data(), TrainingConfig(epochs=9), on_epoch=enough)
    fit(other, other.loss, data(), TrainingConfig(epochs=2))
    assert torch.equal(model.value, other.value)


PASSING = TrainingConfig(optimiser="sgd", learning_rate=0.02, batch_size=4, epochs=100, device="cpu")


def pass_by(**settings):
    """Trains towards 1, past the 0.3 that is best on held-out data: the history, and the model."""
    model, held_out = Mean(1), {"validation": torch.full((4, 1), 0.3), "test": torch.full((4, 1), 0.6)}
    return fit(model, model.loss, torch.ones(4, 1), PASSING.replace(**settings), held_out=held_out), model


def test_kept_marks_the_epoch_whose_weights_the_model_has():
    history, model = pass_by(patience=5)
    assert history["kept"].dtype == bool and history["kept"].sum() == 1
    assert history["kept"].idxmax() == history["validation_loss"].idxmin() == len(history) - 6
    now = averages(model, model.loss, torch.full((4, 1), 0.6))["loss"]
    assert now == pytest.approx(history.loc[history["kept"], "test_loss"].item())


def test_without_patience_the_last_epoch_is_kept():
    history, _ = pass_by(epochs=30)
    assert history["kept"].tolist() == [False] * 29 + [True]


def test_kept_marks_what_a_diverged_model_was_brought_back_to():
    model = Mean(1)

    def loss(x, epoch, generator):
        return {"loss": model.loss(x, epoch, generator)["loss"] * (math.nan if epoch > 20 else 1)}

    with pytest.raises(NonFiniteLossError) as error:
        fit(model, loss, torch.ones(4, 1), PASSING.replace(patience=30), held_out={"validation": torch.zeros(4, 1)})
    assert error.value.history["kept"].tolist() == [False] * 19 + [True]  # though the first was the best so far


# Several losses that take turns


class Pair(nn.Module):
    """Two numbers: `a` goes to the data's mean, `b` to where a is."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))

    def losses(self):
        def first(x, epoch, generator):
            return {"loss": (x - self.a).square().sum(-1) + 0 * self.b, "a": self.a.squeeze(), "both": torch.ones(())}

        def second(x, epoch, generator):
            return {"loss": (self.b - self.a).square().expand(len(x)), "b": self.b.squeeze(), "both": torch.ones(())}

        return [([self.a], first), ([self.b], second)]


ONE_STEP = TrainingConfig(optimiser="sgd", learning_rate=0.25, batch_size=4, epochs=1, device="cpu")


def test_the_second_loss_sees_the_weights_that_the_first_step_left():
    model = Pair()
    fit(model, model.losses(), torch.ones(4, 1), ONE_STEP)
    assert model.a.item() == 0.5  # 0 + 0.25 * 2 (1 - 0)
    assert model.b.item() == 0.25  # 0 + 0.25 * 2 (a - 0): where a was before, b had stayed


def test_each_loss_moves_its_own_parameters_only():
    model = Pair()
    (_, first), second = model.losses()
    fit(model, [([model.b], first), second], torch.ones(4, 1), ONE_STEP.replace(weight_decay=1.0))
    assert model.a.item() == 0  # nobody's: neither gradients nor weight decay reach it


def test_what_several_losses_have_is_their_sum():
    model = Pair()
    config = ONE_STEP.replace(learning_rate=1e-30, batch_size=3)  # it stays put; batches of 3 and 1
    history = fit(model, model.losses(), torch.full((4, 1), 2.0), config, held_out={"test": torch.ones(7, 1)})
    row = history.iloc[0]
    assert row["train_loss"] == pytest.approx(4.0 + 0.0) and row["test_loss"] == pytest.approx(1.0)
    assert (row["train_a"], row["train_b"]) == (pytest.approx(0), pytest.approx(0))  # what one of them has is its mean
    assert (row["train_both"], row["test_both"]) == (2, 2)


def test_patience_watches_the_sum_of_several_losses():
    model = Pair()
    config = ONE_STEP.replace(learning_rate=0.02, epochs=100, patience=5)
    history = fit(model, model.losses(), torch.ones(4, 1), config, held_out={"validation": torch.full((4, 1), 0.3)})
    assert history["kept"].idxmax() == history["validation_loss"].idxmin() == len(history) - 6


@pytest.mark.parametrize("optimiser", sorted(OPTIMISERS))
def test_losses_that_take_turns_go_on_from_a_checkpoint_with_the_same_bits(tmp_path, optimiser):
    config = TrainingConfig(optimiser=optimiser, learning_rate=0.05, batch_size=5, epochs=6, device="cpu")
    held_out = {"validation": data(9, 1, seed=1)}

    def train(checkpoint=None, on_epoch=None):
        model = Pair()
        history = fit(
            model, model.losses(), data(20, 1), config, held_out=held_out, checkpoint=checkpoint, on_epoch=on_epoch
        )
        return history, model

    def stop(row):
        if row["epoch"] == 4:
            raise KeyboardInterrupt

    undisturbed, expected = train()
    with pytest.raises(KeyboardInterrupt):
        train(Checkpoint(tmp_path / "state", interval=0), stop)
    history, model = train(Checkpoint(tmp_path / "state", interval=0))
    assert history.equals(undisturbed) and torch.equal(model.a, expected.a) and torch.equal(model.b, expected.b)


def test_the_bar_moves_within_an_epoch_and_leaves_itself_room(monkeypatch):
    """Its unit is a step; beside its numbers, also of a validation set, a fifth of 100 columns is left to it."""
    shown = io.StringIO()
    always = {"file": shown, "disable": False, "mininterval": 0, "miniters": 1, "ncols": 100}
    monkeypatch.setattr(training, "bar", lambda show=None, **settings: tqdm(**settings, **always))
    model, settings = Mean(), TrainingConfig(epochs=2, batch_size=10, device="cpu")
    fit(model, model.loss, data(100), settings, held_out={"validation": data(9), "test": data(9)})
    frames = re.findall(r"epoch (\d)/2 +(\d+)%\|(.*?)\|([^\r]*)", shown.getvalue())
    assert {int(share) for epoch, share, *_ in frames if epoch == "1"} >= {5, 15, 25, 35, 45}
    assert min(len(drawn) for _, _, drawn, _ in frames) >= 20
    assert re.search(r"train \d\.\d\d validation \d\.\d\d test \d\.\d\d", frames[-1][-1])
