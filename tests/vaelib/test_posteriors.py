"""Posteriors against torch.distributions, quadrature and autograd, in float64."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small import generator
from torch import distributions as dist

from vaelib.config import ConfigError
from vaelib.posteriors import (
    DiagonalGaussian,
    FlowPosterior,
    GaussianConfig,
    IAFConfig,
    PlanarConfig,
    constrained,
    gaussian_kl,
    gaussian_log_prob,
    make_flow,
    planar,
    reparameterise,
)
from vaelib.priors import StandardNormal, Tempered, Vamp

pytestmark = pytest.mark.usefixtures("float64")


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


# Flows

CONTEXT = 3
FLOWS = {"planar": PlanarConfig(steps=4), "iaf": IAFConfig(transforms=2)}
every_flow = pytest.mark.parametrize("config", FLOWS.values(), ids=FLOWS.keys())


def flow(config, latent_dim=2, seed=0):
    """A flow that bends: its weights are larger than those that training starts with."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        made = make_flow(config, latent_dim, CONTEXT).double()
        for parameter in made.parameters():
            parameter.data.add_(0.5 * torch.randn_like(parameter))
    return made


def bent(config, batch=1):
    """A posterior of `batch` images, each with a flow of its own."""
    made, h = flow(config), random(batch, CONTEXT, seed=5)
    base = DiagonalGaussian(0.3 * random(batch, 2, seed=6), 0.3 * random(batch, 2, seed=7))
    return FlowPosterior(base, lambda z: made(h, z))


@every_flow
def test_the_log_determinant_is_that_of_autograds_jacobian(config):
    made, h, z = flow(config, 4), random(1, CONTEXT), random(6, 1, 4, seed=1)
    moved, log_det = made(h, z)
    assert moved.shape == (6, 1, 4) and log_det.shape == (6, 1)
    for point, found in zip(z, log_det, strict=True):
        jacobian = torch.autograd.functional.jacobian(lambda point: made(h, point)[0], point).reshape(4, 4)
        torch.testing.assert_close(found[0], torch.linalg.det(jacobian).log())  # of a negative one: nan


@every_flow
@torch.no_grad()
def test_the_density_of_a_flow_integrates_to_one(config):
    """Over z, on a fine grid of z_0: each of its squares becomes a quadrilateral, whose area needs no determinant."""
    q, axis = bent(config), torch.linspace(-7, 7, 701)
    z_0 = torch.cartesian_prod(axis, axis)[:, None]
    z, log_det = q.flow(z_0)
    density = (q.base.log_prob(z_0) - log_det).exp().reshape(701, 701)
    corners = z.reshape(701, 701, 2)
    across, along = corners[1:, 1:] - corners[:-1, :-1], corners[1:, :-1] - corners[:-1, 1:]
    areas = 0.5 * (across[..., 0] * along[..., 1] - across[..., 1] * along[..., 0]).abs()
    middle = (density[1:, 1:] + density[:-1, :-1] + density[1:, :-1] + density[:-1, 1:]) / 4
    assert (middle * areas).sum().item() == pytest.approx(1, abs=1e-3)


@every_flow
@torch.no_grad()
def test_draws_of_a_flow_have_the_entropy_that_their_densities_say(config):
    """E_q[p(z) / q(z)] = 1 for a density p that lies within q."""
    z, log_q = bent(config).sample_with_log_prob(400_000, generator())
    mean, log_var = z.mean(0), (z.var(0) / 4).log()
    ratio = (gaussian_log_prob(z, mean, log_var) - log_q).exp()
    assert ratio.mean().item() == pytest.approx(1, abs=5 * ratio.std().item() / math.sqrt(len(ratio)))


@given(st.lists(st.floats(-8, 8, allow_subnormal=False), min_size=6, max_size=6))
def test_a_constrained_u_never_folds_the_plane(numbers):
    u, w = torch.tensor(numbers[:3]), torch.tensor(numbers[3:]) + 0.01
    dot = (w * u).sum()
    torch.testing.assert_close(
        (w * constrained(u, w)).sum(), torch.nn.functional.softplus(dot) - 1, atol=1e-9, rtol=1e-9
    )
    moved = constrained(u, w) - u
    torch.testing.assert_close(moved, (moved @ w) * w / w.square().sum(), atol=1e-9, rtol=1e-9)  # along w alone
    assert (w * constrained(u, w)).sum() >= -1 - 1e-12


@torch.no_grad()
def test_a_planar_step_is_inverted_by_bisection():
    """Along w it is a growing function of one number, alpha: w.z' = alpha + w.u_hat tanh(alpha + b)."""
    z, u, w, b = random(50, 3), 3 * random(3, seed=1), random(3, seed=2), random(1, seed=3)
    moved, u_hat = planar(z, u, w, b)[0], constrained(u, w)
    low, high = torch.full((50, 1), -50.0), torch.full((50, 1), 50.0)
    for _ in range(80):
        alpha = (low + high) / 2
        below = alpha + (w @ u_hat) * torch.tanh(alpha + b) < (moved @ w)[:, None]
        low, high = torch.where(below, alpha, low), torch.where(below, high, alpha)
    torch.testing.assert_close(moved - u_hat * torch.tanh(alpha + b), z)


def test_the_determinant_of_the_raw_u_would_be_another():
    """Where w.u < -1 the step without its constraint folds: its "log-determinant" belongs to no flow that draws."""
    z, u, w, b = torch.zeros(1, 2), torch.tensor([-3.0, 0.0]), torch.tensor([1.0, 0.5]), torch.zeros(1)
    true = planar(z, u, w, b)[1]
    torch.testing.assert_close(true, torch.nn.functional.softplus(torch.tensor([-3.0])).log())
    assert abs(true - torch.log(torch.tensor(abs(1 - 3.0)))) > 1


@every_flow
def test_a_flow_set_to_the_identity_is_the_gaussian(config):
    made = make_flow(config, 2, CONTEXT).double()
    for parameter in made.parameters():
        parameter.data.zero_()
    if config.name == "planar":  # softplus(w.u) = 1 makes u_hat = 0 where u lies along w
        unit = torch.tensor([math.log(math.e - 1), 0.0, 1.0, 0.0, 0.3])
        made.parts.bias.data = unit.repeat(config.steps)
    h, base = random(5, CONTEXT), DiagonalGaussian(random(5, 2, seed=1), random(5, 2, seed=2))
    q = FlowPosterior(base, lambda z: made(h, z))
    (z, log_q), expected = q.sample_with_log_prob(7, generator()), base.sample(7, generator())
    torch.testing.assert_close(z, expected)
    torch.testing.assert_close(log_q, base.log_prob(expected))
    torch.testing.assert_close(q.centre, base.centre)


@every_flow
def test_each_image_has_a_flow_of_its_own_and_the_same_seed_gives_the_same(config):
    q = bent(config, batch=4)
    z, log_q = q.sample_with_log_prob(6, generator())
    assert z.shape == (6, 4, 2) and log_q.shape == (6, 4) and q.centre.shape == (4, 2)
    assert torch.equal(bent(config, batch=4).sample(6, generator()), z)
    made, h = flow(config), random(4, CONTEXT, seed=5)
    alone = FlowPosterior(DiagonalGaussian(q.base.mean[2:3], q.base.log_var[2:3]), lambda z: made(h[2:3], z))
    torch.testing.assert_close(alone.centre, q.centre[2:3])


@every_flow
def test_a_flow_tells_the_density_of_its_latest_draws_alone(config):
    q = bent(config)
    first = q.sample(3, generator())
    assert torch.equal(q.log_prob(first), bent(config).sample_with_log_prob(3, generator())[1])
    q.sample(3, generator())
    with pytest.raises(ValueError, match="of its own latest draws alone: use sample_with_log_prob"):
        q.log_prob(first)
    assert q.kl(StandardNormal(2)) is None


def test_a_flow_needs_the_latents_that_its_kind_needs():
    assert make_flow(GaussianConfig(), 1, CONTEXT) is None
    assert make_flow(PlanarConfig(), 1, CONTEXT) is not None
    with pytest.raises(ConfigError, match=r"an autoregressive flow needs latent_dim=2 or more"):
        make_flow(IAFConfig(), 1, CONTEXT)


def test_a_gaussian_scores_its_draws():
    q = DiagonalGaussian(random(4, 3), random(4, 3, seed=1))
    z, log_q = q.sample_with_log_prob(5, generator())
    assert torch.equal(z, q.sample(5, generator())) and torch.equal(log_q, q.log_prob(z)) and q.centre is q.mean
