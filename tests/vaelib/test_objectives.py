"""The ELBO and its relatives against closed forms and quadrature, in float64."""

import math

import numpy as np
import pytest
import torch

from vaelib.evaluation import log_likelihood
from vaelib.likelihoods import LikelihoodConfig
from vaelib.models import VAE, VAEConfig
from vaelib.objectives import beta_at, bits_per_dim, dream, elbo, free_bits_kl, importance_weighted_bound
from vaelib.posteriors import gaussian_log_prob

pytestmark = pytest.mark.usefixtures("float64")
D = 6


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def images(*shape, seed=1):
    return torch.randint(0, 256, shape, generator=generator(seed)) / 255


def small_vae(latent_dim=1, **settings):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = VAE(VAEConfig(latent_dim=latent_dim, hidden=(8,), **settings), (2, 3)).double()
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


def test_draws_are_asked_of_a_posterior_that_is_known_already():
    model, x = small_vae(2), images(5, D)
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
