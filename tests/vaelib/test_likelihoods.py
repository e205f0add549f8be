"""Likelihoods against torch.distributions and closed forms, in float64."""

import math

import pytest
import torch
from small import generator, images
from torch import distributions as dist

from vaelib.config import ConfigError
from vaelib.likelihoods import HALF_LEVEL, LikelihoodConfig, make_likelihood
from vaelib.objectives import bits_per_dim

pytestmark = pytest.mark.usefixtures("float64")
D = 6


def random(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed))


def likelihood(**settings):
    return make_likelihood(LikelihoodConfig(**settings))


def test_bernoulli_agrees_with_torch_distributions_on_binary_pixels():
    x, logits = images(5, D).round(), random(5, D)
    expected = dist.Bernoulli(logits=logits).log_prob(x).sum(-1)
    torch.testing.assert_close(likelihood(name="bernoulli").log_prob(x, logits), expected)


def test_bernoulli_on_grey_pixels_is_the_cross_entropy():
    x, logits = images(5, D), random(5, D)
    y = torch.sigmoid(logits)
    expected = (x * y.log() + (1 - x) * (1 - y).log()).sum(-1)
    torch.testing.assert_close(likelihood(name="bernoulli").log_prob(x, logits), expected)


@pytest.mark.parametrize("mean", ["sigmoid", "identity"])
def test_gaussian_with_fixed_sigma_agrees_with_torch_distributions(mean):
    x, outputs = images(5, D), random(5, D)
    centre = torch.sigmoid(outputs) if mean == "sigmoid" else outputs
    expected = dist.Normal(centre, 0.25).log_prob(x).sum(-1)
    made = likelihood(name="gaussian", mean=mean, sigma="fixed", sigma_value=0.25).log_prob(x, outputs)
    torch.testing.assert_close(made, expected)


def test_gaussian_with_shared_sigma_learns_its_maximum_likelihood_value():
    x, outputs = images(50, D), random(50, D)
    model = likelihood(name="gaussian", sigma="shared", sigma_value=1.0)
    optimiser = torch.optim.LBFGS(model.parameters(), max_iter=100)

    def closure():
        optimiser.zero_grad()
        loss = -model.log_prob(x, outputs).mean()
        loss.backward()
        return loss

    optimiser.step(closure)
    expected = (x - torch.sigmoid(outputs)).square().mean().sqrt()
    torch.testing.assert_close(model.sigma(outputs), expected, rtol=1e-4, atol=0)


def test_gaussian_per_pixel_sigma_agrees_with_torch_distributions():
    x, outputs = images(5, D), random(5, 2 * D)
    sigma = (HALF_LEVEL**2 + 0.2**2 * outputs[:, D:].exp()).sqrt()  # the decoder says by which factor
    expected = dist.Normal(torch.sigmoid(outputs[:, :D]), sigma).log_prob(x).sum(-1)
    model = likelihood(name="gaussian", sigma="per-pixel", sigma_value=0.2)
    torch.testing.assert_close(model.log_prob(x, outputs), expected)


def test_optimal_sigma_is_the_root_of_the_mean_squared_error():
    x, outputs = images(5, D), random(5, D)
    model = likelihood(name="gaussian", sigma="optimal")
    error = (x - torch.sigmoid(outputs)).square()
    expected = dist.Normal(torch.sigmoid(outputs), error.mean().sqrt()).log_prob(x).sum(-1)
    torch.testing.assert_close(model.train().log_prob(x, outputs), expected)
    torch.testing.assert_close(model.sigma(outputs), error.mean().sqrt())  # after one batch, wherever it started
    for _ in range(2000):
        model.log_prob(x, outputs)
    torch.testing.assert_close(model.eval().sigma(outputs), error.mean().sqrt(), rtol=1e-6, atol=0)
    torch.testing.assert_close(model.log_prob(x, outputs), expected)


@pytest.mark.parametrize("sigma", ["shared", "per-pixel", "optimal"])
def test_sigma_never_goes_below_its_floor(sigma):
    model = likelihood(name="gaussian", mean="identity", sigma=sigma, sigma_floor=0.01, sigma_value=0.01)
    x = images(3, D)
    outputs = torch.cat([x, torch.full_like(x, -1e4)], -1) if sigma == "per-pixel" else x  # perfect reconstructions
    if sigma == "shared":
        model.log_variance.data.fill_(-1e4)
    best = dist.Normal(x, 0.01).log_prob(x).sum(-1)
    torch.testing.assert_close(model.train().log_prob(x, outputs), best)


@pytest.mark.parametrize("name", ["discretised-logistic", "discretised-gaussian"])
@pytest.mark.parametrize("scale", [1e-3, 0.05, 2.0])
@pytest.mark.parametrize("centre", [-0.4, 0.5, 1.2])
def test_discretised_probabilities_of_the_256_levels_sum_to_one(name, scale, centre):
    model = likelihood(name=name, mean="identity", sigma="fixed", sigma_value=scale, sigma_floor=1e-4)
    levels = torch.arange(256.0)[:, None] / 255
    log_prob = model.log_prob(levels, torch.full_like(levels, centre))
    torch.testing.assert_close(torch.logsumexp(log_prob, 0), torch.tensor(0.0), atol=1e-9, rtol=0)


@pytest.mark.parametrize(
    ("name", "cdf"),
    [("gaussian", dist.Normal(0.4, 0.1).cdf), ("logistic", lambda x: torch.sigmoid((x - 0.4) / 0.1))],
    ids=["gaussian", "logistic"],
)
def test_discretised_likelihoods_agree_with_differences_of_the_distribution_function(name, cdf):
    model = likelihood(name=f"discretised-{name}", mean="identity", sigma="fixed", sigma_value=0.1)
    levels = torch.arange(1.0, 255.0)[:, None] / 255
    expected = (cdf(levels + HALF_LEVEL) - cdf(levels - HALF_LEVEL)).log().sum(-1)
    near = (levels[:, 0] - 0.4).abs() < 0.4  # further out the plain difference loses its digits
    made = model.log_prob(levels, torch.full_like(levels, 0.4))
    torch.testing.assert_close(made[near], expected[near], rtol=1e-6, atol=0)
    assert torch.isfinite(made).all()


@pytest.mark.parametrize("name", ["discretised-logistic", "discretised-gaussian"])
def test_discretised_likelihood_and_gradient_stay_finite_far_from_the_data(name):
    model = likelihood(name=name, mean="identity", sigma="per-pixel")
    x = images(4, D)
    outputs = torch.cat([torch.full((4, D), 30.0), torch.full((4, D), -12.0)], -1).requires_grad_()
    log_prob = model.log_prob(x, outputs)
    log_prob.sum().backward()
    assert torch.isfinite(log_prob).all() and torch.isfinite(outputs.grad).all()


def test_narrow_bins_make_the_discretised_gaussian_a_density_times_the_bin():
    x, outputs = images(5, D).clamp(0.1, 0.9).mul(255).round() / 255, random(5, D)
    settings = {"mean": "sigmoid", "sigma": "fixed", "sigma_value": 0.5}
    density = likelihood(name="gaussian", **settings).log_prob(x, outputs)
    discrete = likelihood(name="discretised-gaussian", **settings).log_prob(x, outputs)
    torch.testing.assert_close(
        bits_per_dim(density, D, density=True), bits_per_dim(discrete, D, density=False), rtol=1e-4, atol=0
    )


@pytest.mark.parametrize(
    ("settings", "outputs"),
    [
        ({"name": "bernoulli"}, D),
        ({"name": "gaussian", "sigma": "fixed", "sigma_value": 0.2}, D),
        ({"name": "gaussian", "sigma": "per-pixel"}, 2 * D),
        ({"name": "discretised-logistic", "sigma_value": 0.1}, D),
        ({"name": "discretised-gaussian", "sigma_value": 0.1}, D),
    ],
)
def test_samples_have_the_mean_that_the_likelihood_says(settings, outputs):
    model = likelihood(**settings)
    raw = 0.3 * random(outputs) - 2 * (torch.arange(outputs) >= D)
    draws = model.sample(raw.expand(40_000, outputs), generator())
    assert draws.shape == (40_000, D)
    torch.testing.assert_close(draws.mean(0), model.mean(raw), atol=0.01, rtol=0)


@pytest.mark.parametrize("bad", [-0.1, 1.1, math.nan])
@pytest.mark.parametrize("name", ["bernoulli", "gaussian", "discretised-logistic"])
def test_pixels_outside_the_unit_range_are_refused(name, bad):
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        likelihood(name=name).check(torch.tensor([[0.5, bad]]))


def test_discretised_likelihood_refuses_pixels_between_the_levels():
    with pytest.raises(ValueError, match="grey levels"):
        likelihood(name="discretised-logistic").check(torch.tensor([[0.5, 0.001]]))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"name": "gausian"}, "did you mean 'gaussian'"),
        ({"sigma": "perpixel"}, "did you mean 'per-pixel'"),
        ({"sigma_value": 0.001}, "below sigma_floor"),
        ({"name": "discretised-logistic", "sigma": "optimal"}, "no closed form"),
        ({"sigma_vlaue": 1}, "did you mean 'sigma_value'"),
        ({"sigma_value": -1.0}, "sigma_value=-1.0"),
    ],
)
def test_bad_likelihood_settings_are_refused_in_one_line(settings, message):
    with pytest.raises(ConfigError, match=message) as error:
        LikelihoodConfig(**settings)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("settings", "outputs"),
    [
        ({"name": "bernoulli"}, D),
        ({"name": "gaussian", "sigma": "fixed", "sigma_value": 0.2}, D),
        ({"name": "gaussian", "sigma": "optimal", "sigma_value": 0.4}, D),
        ({"name": "gaussian", "sigma": "per-pixel"}, 2 * D),
        # bins add 1/12 of a level's square, little beside these widths, and none is cut off at black or white
        ({"name": "discretised-logistic", "mean": "identity", "sigma_value": 0.01}, D),
        ({"name": "discretised-gaussian", "mean": "identity", "sigma_value": 0.02}, D),
    ],
)
def test_samples_have_the_variance_that_the_likelihood_says(settings, outputs):
    model = likelihood(**settings)
    raw = 0.5 + 0.1 * random(outputs) - 2 * (torch.arange(outputs) >= D)
    draws = model.sample(raw.expand(40_000, outputs), generator())
    expected = model.variance(raw)
    assert expected.shape in ((), (D,))
    torch.testing.assert_close(draws.var(0), expected.expand(D), atol=0, rtol=0.05)


@pytest.mark.parametrize("sigma", ["fixed", "shared", "per-pixel", "optimal"])
def test_a_discretised_gaussian_keeps_mean_and_width(sigma):
    model = likelihood(name="gaussian", sigma=sigma, sigma_value=0.2)
    model.log_variance.data.fill_(2 * math.log(0.5))  # as after some training
    outputs = random(5, model.heads * D)
    twin = model.discretised()
    assert twin.config.name == "discretised-gaussian" and model.config.name == "gaussian"
    torch.testing.assert_close(twin.mean(outputs), model.mean(outputs))
    torch.testing.assert_close(twin.variance(outputs), model.variance(outputs))
    assert twin.discretised() is twin


def test_only_densities_of_grey_pixels_can_be_discretised():
    with pytest.raises(ConfigError, match=r"'Bernoulli' cannot be discretised: only 'gaussian' can"):
        likelihood(name="bernoulli").discretised()


def test_a_gaussian_without_a_sigmoid_takes_any_finite_number():
    centred = torch.tensor([[-0.7, 1.4]])
    likelihood(name="gaussian", mean="identity").check(centred)
    with pytest.raises(ValueError, match=r"pixels must lie in \[0, 1\]"):
        likelihood(name="gaussian", mean="sigmoid").check(centred)
    with pytest.raises(ValueError, match="must be finite"):
        likelihood(name="gaussian", mean="identity").check(torch.tensor([[0.5, float("inf")]]))
