"""The ELBO and its relatives against closed forms and quadrature, in float64."""

import math
from functools import partial

import numpy as np
import pytest
import torch
from small import generator, images, small_vae

from vaelib.config import ConfigError
from vaelib.evaluation import log_likelihood
from vaelib.likelihoods import LikelihoodConfig
from vaelib.models import VAE, VAEConfig
from vaelib.objectives import beta_at, bits_per_dim, dream, elbo, free_bits_kl, importance_weighted_bound
from vaelib.posteriors import DiagonalGaussian, gaussian_kl, gaussian_log_prob
from vaelib.priors import VampConfig

pytestmark = pytest.mark.usefixtures("float64")
D = 6
bold_vae = partial(small_vae, strength=3)  # its decoder depends on z


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
    model, x = bold_vae(latent_dim, likelihood=LikelihoodConfig(name=name)), images(4, D)
    estimate = log_likelihood(model, x, 20_000, generator())
    truth = evidence_by_quadrature(model, x)
    assert ((estimate.value - truth).abs() < 5 * estimate.standard_error + 1e-6).all()
    assert (estimate.standard_error < 0.05).all()


@pytest.mark.parametrize("latent_dim", [1, 2])
def test_bounds_lie_below_the_evidence_and_tighten(latent_dim):
    model, x = bold_vae(latent_dim), images(4, D)
    truth = evidence_by_quadrature(model, x)
    bound = elbo(model, x, samples=20_000, generator=generator()).elbo
    tight = torch.stack([importance_weighted_bound(model, x, 50, generator(i)) for i in range(400)]).mean(0)
    assert (bound < tight).all() and (tight < truth + 0.01).all()


def test_evidence_is_elbo_plus_the_divergence_to_the_true_posterior():
    model, x = bold_vae(1), images(1, D)
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
    model, x = bold_vae(3), images(5, D)
    analytic = elbo(model, x, samples=50_000, generator=generator())
    sampled = elbo(model, x, samples=50_000, kl="monte-carlo", generator=generator())
    torch.testing.assert_close(analytic.elbo, analytic.reconstruction - analytic.kl)
    torch.testing.assert_close(sampled.kl, analytic.kl, atol=0.05, rtol=0)
    torch.testing.assert_close(sampled.reconstruction, analytic.reconstruction)
    assert analytic.elbo.shape == (5,)


def test_importance_weighted_bound_with_one_sample_is_the_monte_carlo_elbo():
    model, x = bold_vae(2), images(5, D)
    expected = elbo(model, x, kl="monte-carlo", generator=generator()).elbo
    torch.testing.assert_close(importance_weighted_bound(model, x, 1, generator()), expected)


def test_draws_are_asked_of_a_posterior_that_is_known_already():
    model, x = bold_vae(2), images(5, D)
    fresh = model.log_weights(x, 7, generator())
    torch.testing.assert_close(model.log_weights(x, 7, generator(), model.posterior(x)), fresh)
    torch.testing.assert_close(fresh.mean(0), elbo(model, x, samples=7, kl="monte-carlo", generator=generator()).elbo)
    assert fresh.shape == (7, 5)


def test_free_bits_give_every_dimension_its_allowance():
    kl = torch.tensor([[0.1, 2.0], [0.3, 4.0]])
    assert free_bits_kl(kl, 0.5).item() == pytest.approx(0.5 + 3.0)
    assert free_bits_kl(kl, 0.0).item() == pytest.approx(kl.sum(-1).mean().item())


def test_warm_up_raises_beta_linearly():
    assert [beta_at(epoch, 4.0, 10) for epoch in (0, 2.5, 10, 99)] == [0, 1, 4, 4]
    assert beta_at(0, 1.0, 0) == 1


def test_dreams_teach_the_true_posterior():
    """A decoder that is linear and known: the encoder that sleep finds is the exact posterior, mean and variance."""
    likelihood = LikelihoodConfig(name="gaussian", mean="identity", sigma="fixed", sigma_value=0.5)
    torch.manual_seed(0)
    model = VAE(VAEConfig(latent_dim=1, hidden=(4,), activation="identity", likelihood=likelihood), (1, 2))
    slope = model.decode(torch.ones(1, 1)) - model.decode(torch.zeros(1, 1))  # (1, 2)
    slope, start = slope.detach(), model.decode(torch.zeros(1, 1)).detach()
    optimiser, source = torch.optim.Adam(model.encoder.parameters(), lr=0.01), generator()
    for step in range(2000):
        optimiser.param_groups[0]["lr"] = 0.01 * (1 - step / 2000)
        optimiser.zero_grad()
        z, dreamt = dream(model, 256, source)
        (-model.posterior(dreamt).log_prob(z).mean()).backward()
        optimiser.step()
    precision = 1 + slope.square().sum() / 0.5**2
    x = start + torch.tensor([[0.3, -0.2], [1.0, 0.4]])
    mean, log_var = model.encode(x)
    torch.testing.assert_close(mean, (x - start) @ slope.T / 0.5**2 / precision, atol=0.03, rtol=0)
    torch.testing.assert_close(log_var.exp(), (1 / precision).expand(2, 1), atol=0.02, rtol=0)


def test_elbo_gradients_agree_with_finite_differences():
    model, x = bold_vae(2, likelihood=LikelihoodConfig(name="gaussian")), images(3, D)
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


# Estimators of the gradient, on models with one latent whose expectations are integrals over the noise


class OnGrid(DiagonalGaussian):
    """A posterior whose draws are those of a given noise (K, B, Z)."""

    def __init__(self, mean, log_var, noise):
        super().__init__(mean, log_var)
        self.noise = noise

    def sample(self, samples=1, generator=None):
        return self.mean + torch.exp(0.5 * self.log_var) * self.noise[:samples]


def expected_bound(model, x, samples, estimator="plain", nodes=24):
    """The bound of one image x (1, D) as an integral over its `samples` draws by Gauss-Hermite quadrature, ()."""
    points, weights = np.polynomial.hermite_e.hermegauss(nodes)
    noise = torch.cartesian_prod(*[torch.from_numpy(points)] * samples).reshape(-1, samples)  # (nodes^K, K)
    chance = torch.cartesian_prod(*[torch.from_numpy(weights / weights.sum())] * samples).reshape(-1, samples).prod(-1)
    model.posterior = lambda x: OnGrid(*model.encode(x), noise.T[..., None])
    bound = importance_weighted_bound(model, x.expand(len(noise), -1), samples, estimator=estimator)
    del model.posterior
    return (bound * chance).sum()


def gradients(figure, model):
    """Those of the encoder and of the rest, in one vector each."""
    named = dict(model.named_parameters())
    found = torch.autograd.grad(figure, list(named.values()), allow_unused=True)
    parts = {"encoder": [], "rest": []}
    for name, gradient in zip(named, found, strict=True):
        parts["encoder" if name.startswith("encoder.") else "rest"].append(
            torch.zeros_like(named[name]).flatten() if gradient is None else gradient.flatten()
        )
    return {part: torch.cat(of) for part, of in parts.items()}


def gentle_vae(likelihood, **settings):
    """One latent, and weights so even that quadrature is exact to many digits."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return VAE(VAEConfig(latent_dim=1, likelihood=likelihood, **settings), (2, 3)).double()


def bernoulli_vae():
    return gentle_vae(LikelihoodConfig(), hidden=(8,))


def linear_vae(*, exact=False):
    """x = b + w z + epsilon; with `exact`, q(z|x) is the true posterior of every image."""
    likelihood = LikelihoodConfig(name="gaussian", mean="identity", sigma="fixed", sigma_value=1.0)
    model = gentle_vae(likelihood, hidden=(), activation="identity")
    if exact:
        w, b = model.decoder.outputs.weight[:, 0].detach(), model.decoder.outputs.bias.detach()
        precision = 1 + w @ w
        model.encoder.mean.weight.data[0] = w / precision
        model.encoder.mean.bias.data[0] = -(w @ b) / precision
        model.encoder.log_var.weight.data.zero_()
        model.encoder.log_var.bias.data[0] = -precision.log()
    return model


def test_the_bound_rises_with_k_from_the_elbo_towards_the_evidence():
    """By integrals and closed forms, so that no chance decides."""
    model, x = linear_vae(), images(1, D)
    bounds = [expected_bound(model, x, k).item() for k in (1, 2, 3)]
    mean, log_var = model.encode(x)
    spread = 0.5 * log_var.exp() * model.decoder.outputs.weight.square().sum()  # E|w (z - mean)|^2 / 2
    reconstruction = model.likelihood.log_prob(x, model.decode(mean)) - spread
    assert bounds[0] == pytest.approx((reconstruction - gaussian_kl(mean, log_var)).item(), abs=1e-9)
    assert bounds[0] < bounds[1] < bounds[2] < evidence_by_quadrature(model, x).item()


@pytest.mark.parametrize("make", [bernoulli_vae, linear_vae])
@pytest.mark.parametrize(("estimator", "samples"), [("stl", 1), ("dreg", 1), ("dreg", 2), ("dreg", 3)])
def test_unbiased_estimators_have_the_gradient_of_the_bound(make, estimator, samples):
    model, x = make(), images(1, D)
    truth = gradients(expected_bound(model, x, samples), model)
    found = gradients(expected_bound(model, x, samples, estimator), model)
    torch.testing.assert_close(found["encoder"], truth["encoder"], rtol=0, atol=1e-3 * truth["encoder"].norm().item())
    torch.testing.assert_close(found["rest"], truth["rest"])


@pytest.mark.parametrize("make", [bernoulli_vae, linear_vae])
def test_sticking_the_landing_is_biased_with_two_draws(make):
    model, x = make(), images(1, D)
    truth = gradients(expected_bound(model, x, 2), model)
    found = gradients(expected_bound(model, x, 2, "stl"), model)
    assert found["encoder"].norm() > 2 * truth["encoder"].norm()
    torch.testing.assert_close(found["rest"], truth["rest"])


@pytest.mark.parametrize(("estimator", "samples"), [("stl", 1), ("stl", 3), ("dreg", 3)])
def test_where_q_is_exact_no_draw_moves_the_encoder(estimator, samples):
    model, x = linear_vae(exact=True), images(4, D)
    torch.testing.assert_close(importance_weighted_bound(model, x, 1, generator()), evidence_by_quadrature(model, x))
    plain = gradients(importance_weighted_bound(model, x, samples, generator()).sum(), model)
    bound = importance_weighted_bound(model, x, samples, generator(), estimator=estimator)
    found = gradients(bound.sum(), model)
    assert plain["encoder"].norm() > 0.1
    assert found["encoder"].abs().max() < 1e-10
    torch.testing.assert_close(found["rest"], plain["rest"])


@pytest.mark.parametrize("estimator", ["stl", "dreg"])
def test_drawn_gradients_average_to_those_of_the_integral(estimator):
    model, x, repeats = linear_vae(), images(1, D), 100_000
    samples = {"stl": 1, "dreg": 2}[estimator]
    bound = importance_weighted_bound(model, x.expand(repeats, D), samples, generator(), estimator=estimator)
    found, truth = gradients(bound.mean(), model), gradients(expected_bound(model, x, samples), model)
    torch.testing.assert_close(found["encoder"], truth["encoder"], rtol=0, atol=0.01)


@pytest.mark.parametrize("estimator", ["plain", "stl", "dreg"])
def test_the_estimator_does_not_change_the_bound(estimator):
    model, x = bold_vae(2), images(5, D)
    bound = importance_weighted_bound(model, x, 3, generator(), estimator=estimator)
    log_w = model.log_weights(x, 3, generator())
    torch.testing.assert_close(bound, torch.log(log_w.exp().mean(0)))
    assert bound.requires_grad
    with torch.no_grad():
        again = importance_weighted_bound(model, x, 3, generator(), estimator=estimator)
    assert torch.equal(again, bound)


@pytest.mark.parametrize("estimator", ["stl", "dreg"])
def test_a_prior_that_looks_through_the_encoder_keeps_its_gradient(estimator):
    """With one draw both are without bias: on average the encoder's gradient is the plain one, prior included."""
    prior = VampConfig(pseudo_inputs=3)
    model, x = gentle_vae(LikelihoodConfig(), hidden=(8,), prior=prior), images(1, D)
    truth = gradients(expected_bound(model, x, 1), model)
    found = gradients(expected_bound(model, x, 1, estimator), model)
    torch.testing.assert_close(found["encoder"], truth["encoder"], rtol=0, atol=1e-5)
    torch.testing.assert_close(found["rest"], truth["rest"])


class Given:
    """A model of which only the weights are known."""

    def __init__(self, log_w):
        self.log_w = log_w

    def check(self, x):
        pass

    def log_weights(self, x, samples, generator=None, posterior=None):
        return self.log_w[:samples]


def test_the_bound_is_the_log_of_the_mean_whatever_the_size_of_the_weights():
    """Not the mean of the logs, and without underflow or overflow."""
    log_w = torch.tensor([[-5000.0, 5000.0, 0.0], [-7000.0, 5000.0, math.log(3)]])
    bound = importance_weighted_bound(Given(log_w), torch.zeros(3, D), 2)
    torch.testing.assert_close(bound, torch.tensor([-5000 - math.log(2), 5000, math.log(2)]))


def test_an_estimator_that_is_unknown_or_that_a_posterior_cannot_serve_is_refused():
    model, x = bold_vae(), images(2, D)
    with pytest.raises(ConfigError, match="unknown estimator 'drag': did you mean 'dreg'"):
        importance_weighted_bound(model, x, 2, estimator="drag")
    model.posterior = lambda x: type("Fixed", (), {})()
    with pytest.raises(ConfigError, match=r"Fixed has no detach\(\): choose estimator='plain'") as error:
        importance_weighted_bound(model, x, 2, estimator="stl")
    assert "\n" not in str(error.value)
