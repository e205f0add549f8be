"""What a model is worth, on models whose worth is known."""

import math

import pandas as pd
import pytest
import torch

from vaelib.evaluation import (
    Estimate,
    active_units,
    discretised,
    kl_per_dim,
    log_likelihood,
    posterior,
    squared_error,
    summary,
)
from vaelib.likelihoods import LikelihoodConfig
from vaelib.models import VAE, ModelConfig
from vaelib.objectives import bits_per_dim, elbo
from vaelib.runs import RunConfig
from vaelib.tables import final_table, progress_table, recipe_table, spread

GAUSSIAN = LikelihoodConfig(name="gaussian", mean="identity", sigma="fixed", sigma_value=0.5)


@pytest.fixture
def linear():
    """x = W z + 0.5 epsilon in three pixels; the encoder is the exact posterior, and the second latent is unused."""
    model = VAE(ModelConfig(latent_dim=2, hidden=(), activation="identity", likelihood=GAUSSIAN), (3,))
    weights = torch.tensor([[1.0, 0.0], [2.0, 0.0], [-1.0, 0.0]])
    precision = torch.eye(2) + weights.T @ weights / 0.25
    for parameter in model.parameters():
        parameter.data.zero_()
    model.decoder.outputs.weight.data = weights
    model.encoder.mean.weight.data = torch.linalg.solve(precision, weights.T / 0.25)
    model.encoder.log_var.bias.data = -torch.log(torch.diagonal(precision))
    return model


def images(n=500):
    source = torch.Generator().manual_seed(0)
    z = torch.randn(n, 1, generator=source)
    return z * torch.tensor([1.0, 2.0, -1.0]) + 0.5 * torch.randn(n, 3, generator=source)


def evidence(x):
    covariance = 0.25 * torch.eye(3) + torch.outer(*[torch.tensor([1.0, 2.0, -1.0])] * 2)
    return torch.distributions.MultivariateNormal(torch.zeros(3), covariance).log_prob(x)


def test_with_the_exact_posterior_every_weight_is_the_evidence(linear):
    x = images()
    estimate = log_likelihood(linear, x, samples=10, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(estimate.value, evidence(x), atol=1e-4, rtol=0)
    assert estimate.standard_error.max() < 1e-3


def test_the_number_of_samples_may_be_any(linear, monkeypatch):
    monkeypatch.setattr("vaelib.evaluation.DECODES_AT_ONCE", 7)  # chunks that do not divide the samples
    x = images(20)
    torch.testing.assert_close(log_likelihood(linear, x, 11).value, evidence(x), atol=1e-4, rtol=0)


def test_the_standard_error_is_the_spread_over_repetitions(linear):
    linear.encoder.log_var.bias.data += math.log(2)  # a posterior that is too wide: the weights vary
    x = images(4)
    repeats = [log_likelihood(linear, x, 200, torch.Generator().manual_seed(seed)) for seed in range(300)]
    spread_seen = torch.stack([repeat.value for repeat in repeats]).std(0)
    stated = torch.stack([repeat.standard_error for repeat in repeats]).mean(0)
    torch.testing.assert_close(stated, spread_seen, rtol=0.2, atol=0)


def test_the_average_of_an_estimate_carries_its_error():
    value, error = Estimate(torch.tensor([1.0, 3.0]), torch.tensor([0.3, 0.4])).mean()
    assert (value, error) == (pytest.approx(2.0), pytest.approx(0.25))


def test_unused_dimensions_are_seen_as_such(linear):
    x = images()
    assert active_units(linear, x).tolist() == [True, False]
    kl = kl_per_dim(linear, x)
    assert kl[0] > 1 and kl[1] == pytest.approx(0, abs=1e-6)
    torch.testing.assert_close(kl.sum(), elbo(linear, x).kl.mean(), rtol=1e-5, atol=0)
    assert posterior(linear, x)[0].shape == (500, 2)


def test_squared_error_sums_over_pixels(linear):
    x = images(2500)  # more than a batch
    expected = (x - linear.reconstruct(x)).square().sum(-1)
    torch.testing.assert_close(squared_error(linear, x), expected)


@pytest.mark.parametrize("sigma", ["fixed", "shared", "per-pixel", "optimal"])
def test_the_discretised_twin_of_a_wide_gaussian_agrees_with_its_density(sigma):
    likelihood = LikelihoodConfig(name="gaussian", sigma=sigma, sigma_value=0.5)
    torch.manual_seed(0)
    model = VAE(ModelConfig(latent_dim=2, hidden=(8,), likelihood=likelihood), (3,)).eval()
    x = torch.randint(40, 200, (50, 3), generator=torch.Generator().manual_seed(0)) / 255
    density = elbo(model, x, generator=torch.Generator().manual_seed(0)).elbo.mean().item()
    assert summary(model, x)["bits_per_dim"] == pytest.approx(bits_per_dim(density, 3, density=True), abs=1e-3)
    assert model.config.likelihood.name == "gaussian"  # the model itself is as it was


def test_only_gaussian_models_have_a_discretised_twin(linear):
    model = VAE(ModelConfig(latent_dim=2, hidden=()), (3,))
    assert "bits_per_dim" not in summary(model, images().clamp(0, 1))
    with pytest.raises(ValueError, match="'bernoulli' cannot be discretised"):
        discretised(model)


def test_summary_is_of_one_piece(linear):
    figures = summary(linear, images())
    assert figures["elbo"] == pytest.approx(figures["reconstruction"] - figures["kl"], rel=1e-5)
    assert figures["elbo"] == pytest.approx(evidence(images()).mean().item(), abs=0.2)
    assert figures["active_units"] == 1
    assert figures == summary(linear, images())


# Tables


class Finished:
    """As much of a run as a table reads."""

    config = RunConfig()

    def __init__(self, elbo):
        self.history = pd.DataFrame({"epoch": [1, 2], "test_elbo": [elbo - 10, elbo]})
        self.metrics = {"test": {"elbo": elbo, "active_units": 7}}
        self.environment = {"seconds": 90.0}


def test_spread_shows_mean_and_range():
    assert spread([1.0, 2.0, 6.0], 1) == "3.0 (1.0 to 6.0)"
    assert spread([2.5]) == "2.50"


def test_tables_turn_the_sign_of_the_bound_and_count_seeds():
    runs = {"a": [Finished(-100.0), Finished(-102.0)], "b": [Finished(-90.0)]}
    table = final_table(runs, ("elbo", "active_units"))
    assert table.loc["a"].tolist() == ["101.0 (100.0 to 102.0)", "7 (7 to 7)", 2]
    assert table.loc["b", "−ELBO (nats)"] == "90.0"
    progress = progress_table(runs, (1, 2, 50))
    assert progress.index.tolist() == [1, 2] and progress.loc[1, "b"] == "100.0"
    assert recipe_table(runs).loc["a", "hidden layers"] == "500 + 500"
    assert recipe_table(runs).loc["b", "minutes a run"] == "1.5"
