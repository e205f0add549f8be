"""The family "gan": its games against what is known of them, who learns in whose turn, and all the way to the store."""

import math
import re

import numpy as np
import pytest
import torch
from scipy.spatial.distance import jensenshannon

from vaelib.cli import main
from vaelib.config import amended
from vaelib.data import DataConfig, prepare
from vaelib.diagnosis import diagnose, diagnose_model
from vaelib.evaluation import log_likelihood, summary
from vaelib.models import GAN, GANConfig, GANObjective, UnsupportedError, new_model
from vaelib.models.gan import losses_of_scores
from vaelib.runs import RunConfig, Store, train
from vaelib.sweeps import sweep
from vaelib.training import TrainingConfig, averages, fit

pytestmark = pytest.mark.usefixtures("store")
GAMES = ("minimax", "non-saturating", "relativistic")
SMALL = GANConfig(latent_dim=3, hidden=(16,))


@pytest.fixture(scope="module")
def digits():
    return torch.from_numpy(prepare(DataConfig(name="digits")).train)


@pytest.fixture
def gan(digits):
    model = new_model(SMALL, (8, 8), seed=1)
    model.start(digits)
    return model


def config(**changes):
    training = TrainingConfig(epochs=2, device="cpu")
    small = RunConfig(data=DataConfig(name="digits"), model=SMALL, training=training)
    return amended(small, changes)


# The games


@pytest.mark.parametrize("loss", GAMES)
def test_a_critic_that_cannot_decide_costs_what_coins_do(loss):
    critic, generator = losses_of_scores(loss, torch.zeros(2), torch.zeros(2))
    coins = 1 if loss == "relativistic" else 2
    expected = {"minimax": -2 * math.log(2), "non-saturating": math.log(2), "relativistic": math.log(2)}[loss]
    torch.testing.assert_close(critic, torch.full((2,), coins * math.log(2)))
    torch.testing.assert_close(generator, torch.full((2,), expected))


def test_the_best_critic_measures_the_jensen_shannon_divergence(float64):
    p, q = np.array([0.1, 0.2, 0.3, 0.4]), np.array([0.4, 0.4, 0.1, 0.1])
    score = torch.from_numpy(np.log(p / q))
    on_data, on_samples = torch.nn.functional.softplus(-score), torch.nn.functional.softplus(score)
    value = -(torch.from_numpy(p) @ on_data + torch.from_numpy(q) @ on_samples).item()
    assert value == pytest.approx(2 * jensenshannon(p, q) ** 2 - 2 * math.log(2))
    critic, generator = losses_of_scores("minimax", score, score)
    torch.testing.assert_close(critic, on_data + on_samples)
    torch.testing.assert_close(generator, -critic)


def test_a_lost_generator_keeps_its_gradient_unless_the_game_is_minimax():
    for loss, expected in {"minimax": 0.0, "non-saturating": -1.0, "relativistic": -1.0}.items():
        fake = torch.tensor([-30.0], requires_grad=True)
        losses_of_scores(loss, torch.tensor([30.0]), fake)[1].sum().backward()
        assert fake.grad.item() == pytest.approx(expected, abs=1e-9)


def test_the_relativistic_game_looks_at_pairs():
    real, fake = torch.tensor([1.0, 5.0]), torch.tensor([0.0, 7.0])
    for shift in (0.0, 100.0):
        critic, generator = losses_of_scores("relativistic", real + shift, fake + shift)
        torch.testing.assert_close(critic, torch.tensor([1.0, -2.0]).neg().exp().log1p())
        torch.testing.assert_close(generator, torch.tensor([1.0, -2.0]).exp().log1p())


# Penalties and turns


def test_the_penalty_is_the_squared_slope(float64, digits):
    model = new_model(SMALL, (8, 8))
    x = digits[:3].double()
    model.start(digits.double())
    scores, penalty = model.penalised(x)
    torch.testing.assert_close(scores, model.critic(x))
    step = 1e-5 * digits.double().var(0, correction=0).mean().sqrt()  # 1e-5 by what the critic sees
    slopes = [(model.critic(x + step * e) - model.critic(x - step * e)) / 2e-5 for e in torch.eye(64)]
    torch.testing.assert_close(penalty, torch.stack(slopes).square().sum(0), rtol=1e-7, atol=1e-10)


def test_the_penalty_teaches_the_critic(float64, digits):
    model, step = new_model(SMALL, (8, 8)), 1e-5
    x, weight = digits[:3].double(), model.critic.body[0].weight
    model.start(digits.double())
    model.penalised(x)[1].mean().backward()
    gradient = weight.grad[2, 5].item()
    found = []
    for side in (-step, step):
        with torch.no_grad():
            weight[2, 5] += side
            found.append(model.penalised(x)[1].mean().item())
            weight[2, 5] -= side
    assert gradient == pytest.approx((found[1] - found[0]) / (2 * step), rel=1e-6) and gradient != 0


@pytest.mark.parametrize("loss", GAMES)
def test_each_turn_gives_gradients_to_its_own_weights_alone(gan, digits, loss):
    pairs = gan.losses(GANObjective(loss=loss))
    assert sorted(id(weight) for own, _ in pairs for weight in own) == sorted(map(id, gan.parameters()))
    for own, one in pairs:
        gan.zero_grad()
        one(digits[:50], 0.0, torch.Generator().manual_seed(0))["loss"].mean().backward()
        assert all(weight.grad is not None for weight in own)
        assert all(weight.grad is None for weight in gan.parameters() if all(weight is not mine for mine in own))


def test_the_critics_loss_is_the_games_plus_half_gamma_times_the_penalties(gan, digits):
    def criticised(**settings):
        ((_, critic), _) = gan.losses(GANObjective(**settings))
        return critic(digits[:50], 0.0, torch.Generator().manual_seed(0))

    figures, plain = criticised(gamma=3.0), criticised(loss="non-saturating", gamma=0)
    torch.testing.assert_close(figures["real"], plain["real"])
    expected = losses_of_scores("relativistic", figures["real"], figures["fake"])[0] + 1.5 * figures["penalty"]
    torch.testing.assert_close(figures["loss"], expected)
    samples = gan.sample(50, torch.Generator().manual_seed(0))
    torch.testing.assert_close(figures["penalty"], gan.penalised(digits[:50])[1] + gan.penalised(samples)[1])
    assert plain["penalty"].tolist() == [0] * 50
    assert plain["loss"].shape == figures["loss"].shape == (50,)


def test_held_out_images_have_their_penalty_too(gan, digits):
    figures = averages(gan, gan.losses(GANObjective()), digits[:100])
    assert figures["penalty"] > 0 and figures["loss"] > 0


# What it starts from, and what it learns


def test_it_starts_from_the_average_image(digits):
    model = new_model(SMALL, (8, 8))
    model.start(digits)
    with torch.no_grad():
        model.generator.logits.weight.zero_()
    average = digits.mean(0).clamp(0.02, 0.98)  # a pixel that is always black would stay so for ever
    torch.testing.assert_close(model.sample(3), average.expand(3, -1))


def test_the_critic_sees_differences_of_one_size_whatever_the_pixels_are(digits):
    """Fainter images on another ground are the same to it, and so are the slopes that are penalised."""
    faint, found = 0.4 + 0.1 * digits, []
    for x in (digits, faint):
        model = new_model(SMALL, (8, 8), seed=1)
        model.start(x)
        found.append(model.penalised(x))
    torch.testing.assert_close(*found, rtol=1e-3, atol=1e-5)


def test_images_that_are_all_the_same_have_finite_scores(digits):
    model = new_model(SMALL, (8, 8))
    model.start(digits[:1].expand(5, -1))
    assert model.critic(digits).isfinite().all()


@pytest.mark.parametrize("loss", ["non-saturating", "relativistic"])
def test_it_learns_the_mean_and_the_spread_of_a_gaussian(loss):
    noise = torch.randn(1024, 1, generator=torch.Generator().manual_seed(0))
    x, other = (0.4 + 0.1 * noise).clamp(0, 1), (0.6 + 0.06 * noise).clamp(0, 1)
    model = new_model(GANConfig(latent_dim=1, hidden=(16,)), (1, 1))
    model.start(other)
    settings = {"epochs": 80, "learning_rate": 5e-3, "schedule": "cosine", "optimiser": "adam-no-momentum"}
    losses = model.losses(GANObjective(loss=loss))
    assert drawn(model).mean() > 0.55 and drawn(model).std() < 0.08
    fit(model, losses, x, TrainingConfig(**settings, device="cpu"), progress=False)
    assert drawn(model).mean() == pytest.approx(0.4, abs=0.03)
    assert drawn(model).std() == pytest.approx(0.1, rel=0.3)


def drawn(model):
    return model.sample(5000, torch.Generator().manual_seed(1)).numpy()


# The store, sweeps, the command line


def test_it_is_trained_stored_and_loaded_again():
    run = train(config())
    assert run.path.name.startswith("digits-gan-") and run.config.objective == GANObjective()
    assert run.metrics == {"train": {}, "validation": {}, "test": {}, "epochs": 2}
    assert {f"{part}_{f}" for part in ("train", "test") for f in ("loss", "real", "fake", "penalty")} <= set(
        run.history
    )
    again = Store().load(run.path.name)
    assert isinstance(again.model, GAN) and again.config == run.config
    same = [model.sample(5, torch.Generator().manual_seed(0)) for model in (run.model, again.model)]
    assert torch.equal(*same) and same[0].shape == (5, 64) and same[0].min() >= 0 and same[0].max() <= 1


def test_it_learns_from_binary_pixels():
    assert len(train(config(**{"data.pixels": "dynamic", "training.epochs": 1})).history) == 1


def test_it_is_swept():
    result = sweep([config(**{"objective.loss": loss, "training.epochs": 1}) for loss in GAMES], jobs=1)
    assert result.failures == {} and list(result.table()["objective.loss"]) == list(GAMES)


def test_the_command_line_trains_it_and_says_what_it_lacks(capsys):
    def call(line):
        return main(line.split()), *capsys.readouterr()

    options = "--data.name digits --training.epochs 1 --training.device cpu"
    status, out, err = call(f"train {options} --model.family gan --model.hidden 16 --objective.gamma 0.5")
    assert status == 0 and "no figures: the family 'gan' has no likelihood" in out, err
    assert re.search(r"digits-gan-\w+ +finished +digits +gan ", call("runs list")[1])
    status, out, _ = call("runs show digits-gan")
    assert status == 0 and "objective.gamma                0.5" in out
    status, _, err = call("evaluate digits-gan --samples 40")
    assert status == 1 and err == "vaelib: a model of the family 'gan' has no likelihood\n"
    status, _, err = call(f"train {options} --model.family gan --objective.gamma 0")
    assert status == 2 and "gamma=0 with loss='relativistic'" in err and len(err.splitlines()) == 1


LACKS = {
    "log_likelihood": lambda model, x: log_likelihood(model, x, 3),
    "posterior": lambda model, x: model.posterior(x),
    "reconstruct": lambda model, x: model.reconstruct(x),
    "codes": lambda model, x: model.codes(x),
    "discretised": lambda model, x: model.discretised(),
}


@pytest.mark.parametrize("ask", LACKS.values(), ids=LACKS.keys())
def test_what_it_cannot_do_it_says_in_one_line(gan, digits, ask):
    assert summary(gan, digits) == {}
    with pytest.raises(UnsupportedError, match=r"^a model of the family 'gan' has no [a-z ]+$"):
        ask(gan, digits)


REFUSED = {
    "no gamma": (lambda: GANObjective(gamma=0), "gamma=0 with loss='relativistic': .* such as 1, or .*non-saturating"),
    "negative gamma": (lambda: GANObjective(gamma=-1), "gamma=-1.* of GANObjective cannot be used"),
    "no game": (lambda: GANObjective(loss="wasserstein"), "unknown loss of GANObjective 'wasserstein'"),
    "patience": (lambda: config(**{"training.patience": 3}), "training.patience=3 waits .* family 'gan' .* alone$"),
    "codes": (lambda: GAN(SMALL, (8, 8)).generate(torch.zeros(5, 4)), r"z has shape \(5, 4\): expected \(..., 3\)"),
    "pixels": (lambda: GAN(SMALL, (8, 8)).check(torch.full((2, 64), 255.0)), r"pixels must lie in \[0, 1\].* to 255"),
}


@pytest.mark.parametrize(("make", "says"), REFUSED.values(), ids=REFUSED.keys())
def test_bad_settings_are_refused_in_one_line(make, says):
    with pytest.raises(ValueError, match=says) as caught:
        make()
    assert "\n" not in str(caught.value)


# Diagnosis


def test_a_run_is_examined_and_shown():
    found = diagnose(train(config()))
    assert found.name == "digits, z = 3" and 0 <= found.evidence.seen_through <= 1
    assert "seen through" in repr(found) and "| variety |" in found._repr_markdown_()


@torch.no_grad()
def scores_times(gan, factor):
    gan.critic.score.weight.mul_(factor)
    gan.critic.score.bias.mul_(factor)
    return gan


def far_away(gan):
    """Whose samples are white, whatever z is."""
    with torch.no_grad():
        gan.generator.logits.weight.zero_()
        gan.generator.logits.bias.fill_(5.0)
    return gan


def test_a_dead_critic_is_named(gan, digits):
    found = diagnose_model(scores_times(far_away(gan), 0.0), digits)
    assert not found.healthy and [cause.name for cause in found.causes] == ["critic", "mode collapse"]
    assert "the critic is dead" in found.causes[0].evidence and found.evidence.seen_through == 0.5
    assert found.verdict == "the game has failed: critic, mode collapse"


def test_a_critic_that_has_won_is_named(digits):
    white = far_away(new_model(SMALL, (8, 8)))
    with torch.no_grad():  # it adds up the pixels, and is sure
        white.critic.body[0].weight.fill_(-1.0)
        white.critic.body[0].bias.fill_(45.0)
        white.critic.score.weight.fill_(1.0)
        white.critic.score.bias.fill_(-30.0)
    found = diagnose_model(white, digits, objective=GANObjective(loss="minimax"))
    assert found.evidence.seen_through > 0.99 and "the critic has won" in found.causes[0].evidence


def test_a_generator_without_variety_is_named(gan, digits):
    with torch.no_grad():
        gan.generator.logits.weight.mul_(0.1)
    found = diagnose_model(gan, digits)
    assert [cause.name for cause in found.causes] == ["mode collapse"]
    assert found.evidence.variety < 0.1 and "many z give one picture" in repr(found)


def test_samples_like_the_images_are_no_fault_though_the_critic_is_flat(gan, digits):
    gan.sample = lambda n, generator=None: digits.flip(0)[:n].clone()
    model = scores_times(gan, 0.0)
    assert model.critic(digits).unique().numel() == 1
    found = diagnose_model(model, digits)
    assert found.healthy and found.verdict.startswith("no fault found")
