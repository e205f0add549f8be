"""Objectives and likelihoods against torch.distributions, closed forms and quadrature, in float64."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import distributions as dist

from vaelib.config import ConfigError
from vaelib.evaluation import log_likelihood
from vaelib.likelihoods import HALF_LEVEL, LikelihoodConfig, make_likelihood
from vaelib.models import VAE, ModelConfig
from vaelib.objectives import (
    ObjectiveConfig,
    beta_at,
    bits_per_dim,
    elbo,
    free_bits_kl,
    gaussian_kl,
    gaussian_log_prob,
    importance_weighted_bound,
    loss_function,
    reparameterise,
    sleep,
)
from vaelib.priors import StandardNormal

D = 6


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(autouse=True)
def float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def random(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed))


def images(*shape, seed=1):
    return torch.randint(0, 256, shape, generator=generator(seed)) / 255


def likelihood(**settings):
    return make_likelihood(LikelihoodConfig(**settings))


# Likelihoods


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
    ("name", "cdf"), [("gaussian", dist.Normal(0.4, 0.1).cdf), ("logistic", lambda x: torch.sigmoid((x - 0.4) / 0.1))]
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


# The KL, the prior and the reparameterisation


@given(st.floats(-5, 5, allow_subnormal=False), st.floats(-4, 4, allow_subnormal=False))
def test_closed_form_kl_agrees_with_torch_distributions(mean, log_var):
    q = dist.Normal(torch.tensor(mean), torch.tensor(0.5 * log_var).exp())
    made = gaussian_kl(torch.tensor(mean), torch.tensor(log_var))
    torch.testing.assert_close(made, dist.kl_divergence(q, dist.Normal(0.0, 1.0)), atol=1e-12, rtol=1e-9)
    assert made >= -1e-15


def test_gaussian_log_prob_and_prior_agree_with_torch_distributions():
    z, mean, log_var = random(7, 3), random(7, 3, seed=1), random(7, 3, seed=2)
    expected = dist.Normal(mean, (0.5 * log_var).exp()).log_prob(z).sum(-1)
    torch.testing.assert_close(gaussian_log_prob(z, mean, log_var), expected)
    torch.testing.assert_close(StandardNormal(3).log_prob(z), dist.Normal(0.0, 1.0).log_prob(z).sum(-1))


def test_reparameterised_draws_have_the_posteriors_moments_and_gradient():
    mean, log_var = torch.tensor([[1.0, -2.0]], requires_grad=True), torch.tensor([[0.0, 2.0]], requires_grad=True)
    z = reparameterise(mean, log_var, 200_000, generator())
    assert z.shape == (200_000, 1, 2)
    torch.testing.assert_close(z.mean(0), mean, atol=0.02, rtol=0)
    torch.testing.assert_close(z.var(0), log_var.exp(), atol=0, rtol=0.02)
    z.square().mean(0).sum().backward()  # E[z^2] = mean^2 + sigma^2
    torch.testing.assert_close(mean.grad, 2 * mean.detach(), atol=0.05, rtol=0)
    torch.testing.assert_close(log_var.grad, log_var.exp().detach(), atol=0, rtol=0.02)


# The ELBO and its relatives


def small_vae(latent_dim=1, **settings):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = VAE(ModelConfig(latent_dim=latent_dim, hidden=(8,), **settings), (2, 3)).double()
        for parameter in model.decoder.parameters():
            parameter.data.mul_(3)  # a decoder that depends on z
    return model


def evidence_by_quadrature(model, x, nodes=200):
    """log of the integral of p(x|z) N(z; 0, I) over z by Gauss-Hermite quadrature, (B,)."""
    points, weights = np.polynomial.hermite_e.hermegauss(nodes)
    grid = torch.cartesian_prod(*[torch.from_numpy(points)] * model.config.latent_dim).reshape(
        -1, 1, model.config.latent_dim
    )
    log_weight = torch.cartesian_prod(*[torch.from_numpy(np.log(weights / weights.sum()))] * model.config.latent_dim)
    log_weight = log_weight.reshape(len(grid), -1).sum(-1, keepdim=True)
    return torch.logsumexp(model.likelihood.log_prob(x, model.decode(grid)) + log_weight, 0)


@pytest.mark.parametrize("latent_dim", [1, 2])
@pytest.mark.parametrize("name", ["bernoulli", "gaussian"])
def test_importance_sampled_likelihood_agrees_with_quadrature(latent_dim, name):
    model, x = small_vae(latent_dim, likelihood=LikelihoodConfig(name=name)), images(4, D)
    estimate = log_likelihood(model, x, 20_000, generator())
    truth = evidence_by_quadrature(model, x)
    assert ((estimate.value - truth).abs() < 5 * estimate.standard_error + 1e-6).all()
    assert (estimate.standard_error < 0.05).all()


@pytest.mark.parametrize("latent_dim", [1, 2])
def test_bounds_lie_below_the_evidence_and_tighten(latent_dim):
    model, x = small_vae(latent_dim), images(4, D)
    truth = evidence_by_quadrature(model, x)
    bound = elbo(model, x, samples=20_000, generator=generator()).elbo
    tight = torch.stack([importance_weighted_bound(model, x, 50, generator(i)) for i in range(400)]).mean(0)
    assert (bound < tight).all() and (tight < truth + 0.01).all()


def test_evidence_is_elbo_plus_the_divergence_to_the_true_posterior():
    model, x = small_vae(1), images(1, D)
    mean, log_var = model.encode(x)
    z = torch.linspace(-9, 9, 20_001)[:, None, None]
    joint = model.likelihood.log_prob(x, model.decode(z)) + model.prior.log_prob(z)
    log_q = gaussian_log_prob(z, mean, log_var)
    step = 18 / 20_000
    log_evidence = torch.logsumexp(joint, 0) + math.log(step)
    divergence = (log_q.exp() * (log_q - (joint - log_evidence))).sum(0) * step
    bound = elbo(model, x, samples=400_000, generator=generator()).elbo
    torch.testing.assert_close(bound + divergence, log_evidence, atol=5e-3, rtol=0)


def test_elbo_is_reconstruction_minus_kl_and_both_kl_estimators_agree():
    model, x = small_vae(3), images(5, D)
    analytic = elbo(model, x, samples=50_000, generator=generator())
    sampled = elbo(model, x, samples=50_000, kl="monte-carlo", generator=generator())
    torch.testing.assert_close(analytic.elbo, analytic.reconstruction - analytic.kl)
    torch.testing.assert_close(sampled.kl, analytic.kl, atol=0.05, rtol=0)
    torch.testing.assert_close(sampled.reconstruction, analytic.reconstruction)
    assert analytic.elbo.shape == (5,)


def test_importance_weighted_bound_with_one_sample_is_the_monte_carlo_elbo():
    model, x = small_vae(2), images(5, D)
    expected = elbo(model, x, kl="monte-carlo", generator=generator()).elbo
    torch.testing.assert_close(importance_weighted_bound(model, x, 1, generator()), expected)


def test_free_bits_give_every_dimension_its_allowance():
    kl = torch.tensor([[0.1, 2.0], [0.3, 4.0]])
    assert free_bits_kl(kl, 0.5).item() == pytest.approx(0.5 + 3.0)
    assert free_bits_kl(kl, 0.0).item() == pytest.approx(kl.sum(-1).mean().item())


def test_warm_up_raises_beta_linearly():
    config = ObjectiveConfig(beta=4.0, warmup_epochs=10)
    assert [beta_at(epoch, config) for epoch in (0, 2.5, 10, 99)] == [0, 1, 4, 4]
    assert beta_at(0, ObjectiveConfig()) == 1


@pytest.mark.parametrize("settings", [{"beta": 0.5}, {"free_bits": 0.7}, {"beta": 2.0, "warmup_epochs": 4}])
def test_the_loss_uses_beta_and_free_bits_while_the_terms_stay_true(settings):
    model, x = small_vae(2), images(5, D)
    config = ObjectiveConfig(**settings)
    figures = loss_function(model, config)(x, 2.0, generator())
    plain = elbo(model, x, generator=generator())
    penalty = free_bits_kl(gaussian_kl(*model.encode(x)), config.free_bits) if config.free_bits else plain.kl
    torch.testing.assert_close(figures["loss"], beta_at(2.0, config) * penalty - plain.reconstruction)
    torch.testing.assert_close(figures["elbo"], plain.elbo)


def test_dynamic_binarisation_draws_each_batch_anew():
    model, x = small_vae(2), torch.full((5, D), 0.5)
    loss = loss_function(model, ObjectiveConfig(), binarise=True)
    source = generator()
    first, second = (loss(x, 0.0, source)["reconstruction"] for _ in range(2))
    assert not torch.equal(first, second)


def test_importance_weighted_loss_is_the_negative_bound():
    model, x = small_vae(2), images(5, D)
    figures = loss_function(model, ObjectiveConfig(bound="importance-weighted", samples=7))(x, 0.0, generator())
    torch.testing.assert_close(figures["loss"], -importance_weighted_bound(model, x, 7, generator()))


def gradients_of(figure, model):
    found = torch.autograd.grad(figure, list(model.parameters()), allow_unused=True)
    return {name: g for (name, _), g in zip(model.named_parameters(), found, strict=True) if g is not None}


def test_awake_the_decoder_learns_alone_and_asleep_the_encoder():
    """The decoder's gradient is that of the ELBO; the encoder's is that of log q at dreams, and of nothing else."""
    model, x = small_vae(2), images(5, D)
    loss = loss_function(model, ObjectiveConfig(algorithm="wake-sleep"))(x, 0.0, generator())["loss"]
    together = gradients_of(loss.sum(), model)
    source = generator()
    awake = gradients_of(-elbo(model, x, generator=source).elbo.sum(), model)
    asleep = gradients_of(-sleep(model, len(x), source).sum(), model)
    assert asleep.keys() == {name for name in together if name.startswith("encoder.")}
    for name, gradient in together.items():
        torch.testing.assert_close(gradient, asleep[name] if name in asleep else awake[name])


def test_dreams_teach_the_true_posterior():
    """A decoder that is linear and known: the encoder that sleep finds is the exact posterior, mean and variance."""
    likelihood = LikelihoodConfig(name="gaussian", mean="identity", sigma="fixed", sigma_value=0.5)
    torch.manual_seed(0)
    model = VAE(ModelConfig(latent_dim=1, hidden=(4,), activation="identity", likelihood=likelihood), (1, 2))
    slope = model.decode(torch.ones(1, 1)) - model.decode(torch.zeros(1, 1))  # (1, 2)
    slope, start = slope.detach(), model.decode(torch.zeros(1, 1)).detach()
    optimiser, source = torch.optim.Adam(model.encoder.parameters(), lr=0.01), generator()
    for step in range(2000):
        optimiser.param_groups[0]["lr"] = 0.01 * (1 - step / 2000)
        optimiser.zero_grad()
        (-sleep(model, 256, source).mean()).backward()
        optimiser.step()
    precision = 1 + slope.square().sum() / 0.5**2
    x = start + torch.tensor([[0.3, -0.2], [1.0, 0.4]])
    mean, log_var = model.encode(x)
    torch.testing.assert_close(mean, (x - start) @ slope.T / 0.5**2 / precision, atol=0.03, rtol=0)
    torch.testing.assert_close(log_var.exp(), (1 / precision).expand(2, 1), atol=0.02, rtol=0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"bound": "importance-weighted", "beta": 2.0}, "no KL term"),
        ({"free_bits": 1.0, "kl": "monte-carlo"}, "nats per dimension"),
        ({"samples": 0}, "samples=0"),
        ({"algorithm": "wake-sleep", "beta": 2.0}, "wake-sleep has no weighed KL"),
        ({"algorithm": "wakesleep"}, "did you mean 'wake-sleep'"),
        ({"kl": "analytical"}, "did you mean 'analytic'"),
    ],
)
def test_bad_objective_settings_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        ObjectiveConfig(**settings)


def test_elbo_gradients_agree_with_finite_differences():
    model, x = small_vae(2, likelihood=LikelihoodConfig(name="gaussian")), images(3, D)
    weights = [model.encoder.mean.weight, model.decoder.outputs.bias, model.likelihood.log_variance]

    def bound(*values):
        named = dict(
            zip(["encoder.mean.weight", "decoder.outputs.bias", "likelihood.log_variance"], values, strict=True)
        )
        with torch.nn.utils.stateless._reparametrize_module(model, named):
            return elbo(model, x, generator=generator()).elbo

    assert torch.autograd.gradcheck(bound, weights)


def test_bits_per_dim_of_a_uniform_image_is_eight():
    uniform_over_levels = torch.tensor(-D * math.log(256))
    assert bits_per_dim(uniform_over_levels, D, density=False) == pytest.approx(8)
    assert bits_per_dim(0.0, D, density=True) == pytest.approx(
        math.log2(255)
    )  # density 1 on [0, 1]: levels 1/255 apart


# Shapes


@settings(max_examples=25, deadline=None)
@given(
    latent_dim=st.integers(1, 4),
    hidden=st.lists(st.integers(1, 6), max_size=3),
    shape=st.lists(st.integers(1, 4), min_size=1, max_size=3),
    sigma=st.sampled_from(["fixed", "shared", "per-pixel", "optimal"]),
    batch=st.integers(1, 5),
    samples=st.integers(1, 3),
)
def test_any_model_gives_one_elbo_per_image(latent_dim, hidden, shape, sigma, batch, samples):
    config = ModelConfig(
        latent_dim=latent_dim, hidden=hidden, likelihood=LikelihoodConfig(name="gaussian", sigma=sigma)
    )
    model = VAE(config, tuple(shape))
    x = images(batch, model.pixels)
    terms = elbo(model, x, samples=samples, generator=generator())
    assert all(term.shape == (batch,) and torch.isfinite(term).all() for term in terms)
    assert model.reconstruct(x).shape == x.shape
    assert model.sample(batch, generator(), noise=True).shape == x.shape


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ModelConfig(latent_dim=0), "latent_dim=0"),
        (lambda: ModelConfig(activation="than"), "did you mean 'tanh'"),
        (lambda: ModelConfig(hidden=(0,)), "hidden.0=0"),
        (lambda: VAE(ModelConfig(), ()), "image_shape"),
        (lambda: small_vae().encode(torch.zeros(2, 5)), r"expected \(batch, 6\)"),
        (lambda: small_vae().decode(torch.zeros(2, 5)), r"expected \(..., 1\)"),
        (lambda: log_likelihood(small_vae(), torch.zeros(2, 6), samples=1), "at least 2"),
    ],
)
def test_bad_shapes_and_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=message) as error:
        make()
    assert "\n" not in str(error.value)


def test_normal_initialisation_has_the_stated_spread():
    model = VAE(ModelConfig(init="normal", init_std=0.01), (28, 28))
    weights = torch.cat([parameter.flatten() for parameter in model.parameters()])
    assert weights.std().item() == pytest.approx(0.01, rel=0.01)


@pytest.mark.parametrize(
    "settings",
    [{"name": "bernoulli"}, {"name": "gaussian", "mean": "identity"}, {"name": "gaussian", "sigma": "per-pixel"}],
)
def test_a_decoder_starts_at_a_given_image(settings):
    model = VAE(ModelConfig(latent_dim=1, hidden=(3,), likelihood=LikelihoodConfig(**settings)), (2, 2))
    model.decoder.outputs.weight.data.zero_()
    image = torch.tensor([0.1, 0.5, 0.25, 0.9])
    model.start_at(image)
    torch.testing.assert_close(model.sample(1)[0], image)
