"""Posteriors against torch.distributions, in float64."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import distributions as dist

from vaelib.posteriors import DiagonalGaussian, gaussian_kl, gaussian_log_prob, reparameterise
from vaelib.priors import StandardNormal, Tempered, Vamp

pytestmark = pytest.mark.usefixtures("float64")


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def random(*shape, seed=0):
    return torch.randn(*shape, generator=generator(seed))


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


def test_a_diagonal_gaussian_is_torchs():
    mean, log_var = random(4, 3), random(4, 3, seed=1)
    q, expected = DiagonalGaussian(mean, log_var), dist.Normal(mean, (0.5 * log_var).exp())
    z = q.sample(7, generator())
    assert z.shape == (7, 4, 3)
    torch.testing.assert_close(q.log_prob(z), expected.log_prob(z).sum(-1))
    torch.testing.assert_close(q.kl(StandardNormal(3)), dist.kl_divergence(expected, dist.Normal(0.0, 1.0)))
    torch.testing.assert_close(q.kl(Tempered(3, 0.7)), dist.kl_divergence(expected, dist.Normal(0.0, 0.7)))


def test_a_kl_without_closed_form_is_none():
    q = DiagonalGaussian(random(4, 3), random(4, 3, seed=1))
    assert q.kl(Vamp(torch.nn.Identity(), 6, 3, 2)) is None


def test_no_gradient_passes_a_detached_posterior():
    mean, log_var = random(4, 3).requires_grad_(), random(4, 3, seed=1).requires_grad_()
    q = DiagonalGaussian(mean, log_var)
    assert q.sample(1, generator()).requires_grad and not q.detach().sample(1, generator()).requires_grad
    assert torch.equal(q.sample(1, generator()), q.detach().sample(1, generator()))
