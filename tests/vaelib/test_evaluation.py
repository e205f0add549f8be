"""What a model is worth, on models whose worth is known."""

import math

import pytest
import torch

from vaelib.config import ConfigError
from vaelib.evaluation import (
    TITLES,
    Estimate,
    active_units,
    aggregate_posterior,
    directions_in_use,
    encode,
    expected_error,
    kl_per_dim,
    log_likelihood,
    signed,
    squared_error,
    summary,
)
from vaelib.likelihoods import Gaussian, LikelihoodConfig
from vaelib.models import VAE, LatentVariableModel, VAEConfig
from vaelib.objectives import bits_per_dim, elbo


class OfAnyNumbers(Gaussian):
    """Its pixels need not lie in [0, 1]."""

    def check(self, x):
        pass


def linear_vae(latent_dim, pixels):
    """A linear VAE whose weights are all 0, of sigma 0.5."""
    likelihood = OfAnyNumbers(LikelihoodConfig(name="gaussian", mean="identity", sigma="fixed", sigma_value=0.5))
    config = VAEConfig(latent_dim=latent_dim, hidden=(), activation="identity", likelihood=likelihood.config)
    model = VAE(config, (pixels,), likelihood=likelihood)
    for parameter in model.parameters():
        parameter.data.zero_()
    return model


@pytest.fixture
def linear():
    """x = W z + 0.5 epsilon in three pixels; the encoder is the exact posterior, and the second latent is unused."""
    model = linear_vae(2, 3)
    weights = torch.tensor([[1.0, 0.0], [2.0, 0.0], [-1.0, 0.0]])
    precision = torch.eye(2) + weights.T @ weights / 0.25
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
    monkeypatch.setattr("vaelib.evaluation.AT_ONCE", {"cpu": (6, 42)})  # chunks that do not divide the samples
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
    value, error = Estimate(torch.tensor([1.0, 3.0]), torch.tensor([0.3, 0.4]), torch.ones(2), "a bound").mean()
    assert (value, error) == (pytest.approx(2.0), pytest.approx(0.25))


def test_unused_dimensions_are_seen_as_such(linear):
    x = images()
    assert active_units(linear, x).tolist() == [True, False]
    kl = kl_per_dim(linear, x)
    assert kl[0] > 1 and kl[1] == pytest.approx(0, abs=1e-6)
    torch.testing.assert_close(kl.sum(), elbo(linear, x).kl.mean(), rtol=1e-5, atol=0)
    assert encode(linear, x)[0].shape == (500, 2)


def test_squared_error_sums_over_pixels(linear):
    x = images(2500)  # more than a batch
    expected = (x - linear.reconstruct(x)).square().sum(-1)
    torch.testing.assert_close(squared_error(linear, x), expected)


@pytest.mark.parametrize("sigma", ["fixed", "shared", "per-pixel", "optimal"])
def test_the_discretised_twin_of_a_wide_gaussian_agrees_with_its_density(sigma):
    likelihood = LikelihoodConfig(name="gaussian", sigma=sigma, sigma_value=0.5)
    torch.manual_seed(0)
    model = VAE(VAEConfig(latent_dim=2, hidden=(8,), likelihood=likelihood), (3,)).eval()
    x = torch.randint(40, 200, (50, 3), generator=torch.Generator().manual_seed(0)) / 255
    density = elbo(model, x, generator=torch.Generator().manual_seed(0)).elbo.mean().item()
    assert summary(model, x)["bits_per_dim"] == pytest.approx(bits_per_dim(density, 3, density=True), abs=1e-3)
    assert model.config.likelihood.name == "gaussian"  # the model itself is as it was


def test_only_gaussian_models_have_a_discretised_twin(linear):
    model = VAE(VAEConfig(latent_dim=2, hidden=()), (3,))
    assert "bits_per_dim" not in summary(model, images().clamp(0, 1))
    with pytest.raises(ConfigError, match="'Bernoulli' cannot be discretised"):
        model.discretised()


def test_summary_is_of_one_piece(linear):
    figures = summary(linear, images())
    assert figures["elbo"] == pytest.approx(figures["reconstruction"] - figures["kl"], rel=1e-5)
    assert figures["elbo"] == pytest.approx(evidence(images()).mean().item(), abs=0.2)
    assert figures["active_units"] == 1
    assert figures == summary(linear, images())


def test_directions_in_use_count_what_lies_askew_once(linear):
    """One direction of variation, turned so that it lies between both axes."""
    turn = torch.tensor([[0.6, -0.8], [0.8, 0.6]])
    linear.encoder.mean.weight.data = turn @ linear.encoder.mean.weight.data
    x = images()
    assert active_units(linear, x).tolist() == [True, True] and directions_in_use(linear, x) == 1


def test_the_expected_error_is_that_of_the_mean_and_of_the_draws_spread(linear):
    """E_q|x - W z|^2 = |x - W mean|^2 + sum_j |W_j|^2 variance_j."""
    x = images(20_000)
    spread = 6 * torch.exp(linear.encoder.log_var.bias[0]).item()
    assert expected_error(linear, x) == pytest.approx(squared_error(linear, x).mean().item() + spread, rel=0.02)
    assert expected_error(linear, x) == expected_error(linear, x)


def test_the_aggregate_posterior_of_the_exact_one_is_the_prior(linear):
    x = images(5000)
    z = aggregate_posterior(linear, x, draws=4, seed=1)
    assert z.shape == (20_000, 2) and torch.equal(z, aggregate_posterior(linear, x, draws=4, seed=1))
    assert not torch.equal(z, aggregate_posterior(linear, x, draws=4, seed=2))
    torch.testing.assert_close(z.mean(0), torch.zeros(2), atol=0.05, rtol=0)
    torch.testing.assert_close(torch.cov(z.T), torch.eye(2), atol=0.06, rtol=0)


def test_tables_turn_the_sign_of_bounds_only():
    assert {name for name in TITLES if signed(name, 2.0) == -2.0} == {"elbo", "reconstruction"}
    assert all(
        title.startswith("−") == (name in ("elbo", "bits_per_dim", "reconstruction")) for name, title in TITLES.items()
    )


# How many draws carry the weight


class Weighted(LatentVariableModel):
    """A "model" whose log-weights are known: those in `given`, (samples, B), in that order."""

    family = "weighted"

    def __init__(self, given):
        super().__init__(VAEConfig(), (1,))
        self.given, self.at = torch.nn.Parameter(given), 0

    def losses(self, objective, *, binarise=False):
        return []

    def sample(self, n, generator=None):
        raise NotImplementedError

    def posterior(self, x):
        return None

    def log_weights(self, x, samples, generator=None, posterior=None):
        self.at += samples
        return self.given[self.at - samples : self.at]


@pytest.mark.parametrize("at_once", [1000, 14], ids=["at-once", "in-chunks"])
def test_effective_samples_are_kongs(monkeypatch, at_once):
    """(sum w)^2 / sum w^2, whatever the scale of the weights."""
    monkeypatch.setattr("vaelib.evaluation.AT_ONCE", {"cpu": (64, at_once)})
    source = torch.Generator().manual_seed(0)
    log_w = torch.randn(20, 3, generator=source, dtype=torch.float64) * torch.tensor([0.0, 1.0, 3.0]) - 700
    estimate = log_likelihood(Weighted(log_w), torch.zeros(3, 1, dtype=torch.float64), samples=20)
    w = torch.exp(log_w + 700)
    torch.testing.assert_close(estimate.effective_samples, w.sum(0).square() / w.square().sum(0))
    torch.testing.assert_close(estimate.value, w.mean(0).log() - 700)
    torch.testing.assert_close(estimate.standard_error, w.std(0) / math.sqrt(20) / w.mean(0), atol=1e-6, rtol=1e-6)
    assert estimate.effective_samples[0].item() == pytest.approx(20)
    assert estimate.kind == "importance-weighted bound of 20 draws"


def heavy(draws, carried):
    """Log-weights of which `carried` are equal and all others nothing."""
    return torch.where(torch.arange(draws)[:, None] < carried, 0.0, -100.0).expand(draws, 5)


def test_few_effective_draws_are_warned_of(recwarn):
    with pytest.warns(
        UserWarning, match=r"log p\(x\): half of the images rest on 29 effective draws or fewer, of 400"
    ) as said:
        estimate = log_likelihood(Weighted(heavy(400, 29)), torch.zeros(5, 1), samples=400)
    assert said[0].filename == __file__  # the line that asked
    torch.testing.assert_close(estimate.effective_samples, torch.full((5,), 29.0), rtol=1e-4, atol=0)
    recwarn.clear()
    log_likelihood(Weighted(heavy(400, 31)), torch.zeros(5, 1), samples=400)
    log_likelihood(Weighted(heavy(30, 3)), torch.zeros(5, 1), samples=30)  # so few can carry no more
    assert not recwarn.list


def test_half_of_the_images_decide_about_the_warning(recwarn):
    mixed = torch.cat([heavy(400, 10)[:, :2], heavy(400, 300)[:, :3]], 1)
    log_likelihood(Weighted(mixed), torch.zeros(5, 1), samples=400)
    assert not recwarn.list
    mixed = torch.cat([heavy(400, 10)[:, :3], heavy(400, 300)[:, :2]], 1)
    with pytest.warns(UserWarning, match="effective draws"):
        log_likelihood(Weighted(mixed), torch.zeros(5, 1), samples=400)


class Hierarchy(Weighted):
    """A family whose posterior is no single distribution: it overrides `log_weights`, and gains the rest."""

    family = "hierarchy"
    posterior = LatentVariableModel.posterior


def test_log_weights_alone_give_a_likelihood():
    log_w = torch.randn(20, 5, generator=torch.Generator().manual_seed(0))
    value = log_likelihood(Hierarchy(log_w), torch.zeros(5, 1), samples=20).value
    torch.testing.assert_close(value, torch.logsumexp(log_w, 0) - math.log(20))
    assert summary(Hierarchy(log_w), torch.zeros(5, 1)) == {"elbo": pytest.approx(log_w[0].mean().item())}


def test_measuring_leaves_the_models_mode_alone(linear):
    linear.train()
    log_likelihood(linear, images(4), 3)
    assert linear.training and linear.encoder.training
