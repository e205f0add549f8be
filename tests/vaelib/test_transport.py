"""Flow matching against the mathematics: exact divergence and density, known Gaussians and mixtures found again."""

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

import vaelib as vae
from vaelib.config import ConfigError
from vaelib.posteriors import DiagonalGaussian
from vaelib.priors import Mixture
from vaelib.training import TrainingConfig
from vaelib.transport import FlowMatching, fit_flow_matching, flow_matching_loss, heun

QUICK = TrainingConfig(batch_size=500, learning_rate=1e-2, device="cpu")
TURN = torch.tensor([[0.3, -0.8], [0.5, 0.4]])  # du/dt = TURN u
MEAN, SCALE = torch.tensor([1.0, -2.0]), torch.tensor([0.5, 2.0])


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


class LinearField(nn.Module):
    """v(u, t) = TURN u, whose divergence is the trace of TURN."""

    def forward(self, u, t):
        return u @ TURN.to(u).T

    def with_divergence(self, u, t):
        return self(u, t), TURN.trace().to(u).expand(len(u))


def linear_flow(steps=30):
    """The prior that carries noise along du/dt = TURN u, and the Gaussian that it is."""
    prior = FlowMatching(2, steps=steps)
    prior.field, prior.mean, prior.scale = LinearField(), MEAN.to(prior.mean), SCALE.to(prior.scale)
    factor = torch.diag(SCALE).double() @ torch.linalg.matrix_exp(TURN.double())
    return prior, stats.multivariate_normal(MEAN.double().numpy(), (factor @ factor.T).numpy())


def wild_flow(latent_dim=3, steps=30):
    """Random weights, large enough to bend paths."""
    torch.manual_seed(0)
    prior = FlowMatching(latent_dim, width=16, steps=steps)
    for parameter in prior.field.parameters():
        parameter.data.mul_(2)
    return prior.requires_grad_(False)


def exactly(codes):
    """A q(z|x) for each code that is next to a point."""
    return DiagonalGaussian(codes, torch.full_like(codes, -12.0))


def test_the_divergence_is_the_trace_of_the_jacobian(float64):
    field = wild_flow(5).field
    u = torch.randn(7, 5, generator=generator())
    for t in (torch.tensor(0.3), torch.rand(7, 1, generator=generator())):
        v, divergence = field.with_divergence(u, t)
        torch.testing.assert_close(v, field(u, t))
        jacobians = torch.autograd.functional.jacobian(lambda u, t=t: field(u, t).sum(0), u)  # (Z, B, Z)
        torch.testing.assert_close(divergence, jacobians.diagonal(dim1=0, dim2=2).sum(-1))


def test_each_image_of_a_batch_has_a_time_of_its_own():
    field, u, t = wild_flow(3).field, torch.randn(4, 3, generator=generator()), torch.rand(4, 1, generator=generator())
    alone = torch.cat([field(u[i : i + 1], t[i, 0]) for i in range(4)])
    torch.testing.assert_close(field(u, t), alone)


def test_the_loss_sees_the_point_on_the_line_and_not_its_end():
    """With one code, u_1 - u_0 = (u_1 - u_t) / (1 - t): the velocity is known, and its loss is zero."""
    code = torch.tensor([[2.0, -1.0]]).expand(1000, 2)
    assert flow_matching_loss(lambda u, t: (code - u) / (1 - t), code, generator()).max().item() < 1e-6
    standing_still = flow_matching_loss(lambda u, t: torch.zeros_like(u), code, generator())
    assert standing_still.shape == (1000,)
    assert standing_still.mean().item() == pytest.approx(2**2 + 1**2 + 2, rel=0.05)  # E|u_1 - u_0|^2


def test_times_are_logit_normal():
    times = []
    flow_matching_loss(lambda u, t: times.append(t) or u, torch.zeros(4000, 1), generator())
    assert stats.kstest(torch.logit(times[0]).flatten().numpy(), "norm").pvalue > 0.01


def test_heun_follows_a_known_path_with_an_error_of_second_order(float64):
    u = torch.randn(5, 2, generator=generator())
    exact = u @ torch.linalg.matrix_exp(TURN.to(u)).T
    errors = [(heun(LinearField(), u, steps)[-1] - exact).abs().max().item() for steps in (10, 20)]
    assert errors[1] < 1e-3 and errors[0] / errors[1] == pytest.approx(4, rel=0.1)
    path = heun(LinearField(), u, 20)
    back = heun(LinearField(), path[-1], 20, 1.0, 0.0)
    assert len(path) == 21 and torch.equal(path[0], u)
    torch.testing.assert_close(back[-1], u, atol=1e-3, rtol=0)


def test_a_linear_field_has_the_density_of_its_gaussian():
    prior, truth = linear_flow()
    z = prior.sample(2000, generator())
    np.testing.assert_allclose(prior.log_prob(z).numpy(), truth.logpdf(z.numpy()), atol=2e-3)
    noise = torch.randn(2000, 2, generator=generator())
    expected = MEAN + SCALE * (noise @ torch.linalg.matrix_exp(TURN).T)
    torch.testing.assert_close(z, expected, atol=2e-3, rtol=0)
    torch.testing.assert_close(prior.paths(noise)[[0, -1]], torch.stack([MEAN + SCALE * noise, z]))


def test_the_solver_says_how_far_off_it_is(float64):
    prior, truth = linear_flow(steps=10)
    z = torch.tensor(truth.rvs(100, random_state=0))
    error = torch.from_numpy(truth.logpdf(z.numpy())) - prior.log_prob(z)
    assert error.abs().max() > 1e-4
    torch.testing.assert_close(4 / 3 * prior.solver_error(z), error, rtol=0.1, atol=1e-5)


def test_the_density_is_the_change_of_variables_of_the_sampler(float64):
    prior = wild_flow(steps=100)
    prior.mean, prior.scale = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([0.5, 1.0, 3.0])
    noise = torch.randn(4, 3, generator=generator())

    def z_of(u):
        return prior.mean + prior.scale * heun(prior.field, u[None], prior.steps)[-1][0]

    jacobians = torch.stack([torch.autograd.functional.jacobian(z_of, u) for u in noise])
    log_det = torch.linalg.slogdet(jacobians).logabsdet
    expected = stats.norm.logpdf(noise.numpy()).sum(1) - log_det.numpy()
    found = prior.log_prob(torch.stack([z_of(u) for u in noise])).numpy()
    np.testing.assert_allclose(found, expected, atol=2e-3)
    assert log_det.std() > 0.1  # the field is none that stretches alike everywhere


def test_doubling_the_steps_changes_little_and_gradients_reach_the_code():
    prior = wild_flow()
    z = torch.randn(50, 3, generator=generator(), requires_grad=True)
    error = prior.solver_error(z)
    assert 0 < error.abs().max().item() < 0.05
    (slope,) = torch.autograd.grad(prior.log_prob(z).sum(), z)
    step = torch.tensor([1e-2, 0.0, 0.0])
    with torch.no_grad():
        numeric = (prior.log_prob(z + step) - prior.log_prob(z - step)) / 2e-2
    torch.testing.assert_close(slope[:, 0], numeric, atol=1e-2, rtol=1e-2)


def test_any_leading_shape_in_blocks_and_the_same_seed_give_the_same(monkeypatch):
    prior, z = wild_flow(), torch.randn(4, 5, 3, generator=generator())
    at_once, drawn = prior.log_prob(z), prior.sample(20, generator(1))
    monkeypatch.setattr("vaelib.transport.CODES_AT_ONCE", 7)
    assert at_once.shape == (4, 5)
    torch.testing.assert_close(prior.log_prob(z), at_once)
    torch.testing.assert_close(prior.log_prob(z[1, 2]), at_once[1, 2])
    torch.testing.assert_close(prior.sample(20, generator(1)), drawn)
    assert prior.kl(z, z) is None


@pytest.fixture(scope="module")
def gaussian():
    """A Gaussian far from standard, and the flow that was fitted to its draws: half of its variance is q(z|x)'s."""
    mean, factor = torch.tensor([50.0, -3.0]), torch.tensor([[4.0, 0.0], [3.0, 1.0]])
    centres = mean + torch.randn(4000, 2, generator=generator()) @ factor.T
    noise = torch.tensor([4.0, 0.5])
    truth = stats.multivariate_normal(mean.numpy(), (factor @ factor.T + torch.diag(noise**2)).numpy())
    held_out = torch.from_numpy(truth.rvs(1000, random_state=0)).float()
    posterior = DiagonalGaussian(centres, (2 * noise.log()).expand(4000, 2))
    return truth, held_out, fit_flow_matching(posterior, held_out, (60,), width=64, training=QUICK, progress=False)


def test_a_known_gaussian_is_found_again_from_draws_and_not_from_means(gaussian):
    truth, held_out, fit = gaussian
    z = fit.prior.sample(20_000, generator()).double()
    np.testing.assert_allclose(z.mean(0).numpy(), truth.mean, atol=0.25)
    spread = np.sqrt(np.diag(truth.cov))
    np.testing.assert_allclose(
        z.T.cov().numpy() / np.outer(spread, spread), truth.cov / np.outer(spread, spread), atol=0.1
    )
    with torch.no_grad():
        gap = truth.logpdf(held_out.numpy()) - fit.prior.log_prob(held_out).numpy()
    assert abs(gap.mean()) < 0.03 and gap.std() < 0.15
    assert fit.scores[60] == pytest.approx(truth.logpdf(held_out.numpy()).mean(), abs=0.03)


@torch.no_grad()
def test_its_own_samples_have_the_entropys_log_density(gaussian):
    truth, _, fit = gaussian
    log_prob = fit.prior.log_prob(fit.prior.sample(10_000, generator()))
    assert log_prob.mean().item() == pytest.approx(-truth.entropy(), abs=0.05)


def test_two_clumps_are_parted_and_their_density_integrates_to_one():
    clumps = Mixture([0.25, 0.75], [[-3.0, 0.0], [3.0, 1.0]], [[[0.5, 0.0], [0.0, 0.5]]] * 2)
    codes, held_out = clumps.sample(4000, generator(1)), clumps.sample(1000, generator(2))
    prior = fit_flow_matching(exactly(codes), held_out, (80,), width=64, training=QUICK, progress=False).prior
    axes = [(torch.arange(200) + 0.5) / 200 * 16 - 8] * 2
    with torch.no_grad():
        density = prior.log_prob(torch.cartesian_prod(*axes)).double().exp() * (16 / 200) ** 2
        lost = clumps.log_prob(held_out).mean() - prior.log_prob(held_out).mean()
    assert density.sum().item() == pytest.approx(1, abs=5e-3)
    z = prior.sample(10_000, generator())
    assert (z[:, 0] < 0).float().mean().item() == pytest.approx(0.25, abs=0.05)
    assert (z[:, 0].abs() < 1).float().mean().item() < 0.02  # hardly any on the way between them
    assert -0.02 < lost.item() < 0.15


def test_a_snapshot_is_what_a_shorter_training_gives_and_held_out_codes_choose():
    codes = torch.randn(60, 2, generator=generator())
    held_out = torch.randn(200, 2, generator=generator(1))
    settings = {"width": 32, "training": QUICK.replace(batch_size=20), "seed": 3, "progress": False}
    long = fit_flow_matching(exactly(codes), held_out, (5, 150), **settings)
    short = fit_flow_matching(exactly(codes), held_out, (5,), **settings)
    for key, tensor in short.prior.state_dict().items():
        assert torch.equal(long.snapshots[5].state_dict()[key], tensor)
    assert set(long.scores) == set(long.snapshots) == {5, 150} and short.scores[5] == long.scores[5]
    assert long.epochs == max(long.scores, key=long.scores.get) and long.prior is long.snapshots[long.epochs]
    assert not any(torch.equal(a, b) for a, b in zip(*(p.parameters() for p in long.snapshots.values()), strict=True))
    assert long.seconds > 0 and not any(weight.requires_grad for weight in long.prior.parameters())
    other = fit_flow_matching(exactly(codes), held_out, (5,), **settings | {"seed": 4})
    assert other.scores != short.scores


def test_a_state_dict_brings_all_of_it_back():
    prior = fit_flow_matching(
        exactly(torch.randn(50, 3, generator=generator()) * 7 + 2), torch.zeros(2, 3), (1,), progress=False
    ).prior
    again = FlowMatching(3)
    again.load_state_dict(prior.state_dict())
    z = prior.sample(5, generator())
    assert torch.equal(again.sample(5, generator()), z) and torch.equal(again.log_prob(z), prior.log_prob(z))
    assert prior.mean.abs().max() > 1 and prior.scale.min() > 5


def test_it_stands_in_the_same_likelihood_as_other_priors():
    """As a Gaussian it must give a model the log p(x) that a mixture of that one Gaussian gives."""
    torch.manual_seed(0)
    model = vae.VAE(vae.VAEConfig(latent_dim=2, hidden=(16,)), (3, 2))
    x = torch.rand(20, 6, generator=generator())
    prior, truth = linear_flow(steps=60)
    mixture = Mixture([1.0], truth.mean[None], np.linalg.cholesky(truth.cov)[None])
    found, expected = (
        vae.log_likelihood(vae.with_prior(model, p), x, 30, generator(), progress=False) for p in (prior, mixture)
    )
    torch.testing.assert_close(found.value, expected.value, atol=5e-3, rtol=0)
    bounds = [
        vae.elbo(vae.with_prior(model, p), x, kl="monte-carlo", generator=generator()).elbo for p in (prior, mixture)
    ]
    torch.testing.assert_close(*bounds, atol=5e-3, rtol=0)
    with pytest.raises(ValueError, match="a prior over 2 dimensions does not fit a model that has 3"):
        vae.with_prior(vae.VAE(vae.VAEConfig(latent_dim=3, hidden=(4,)), (3, 2)), prior)


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"epochs": ()}, r"epochs=\(\): expected one number or more, from 1 on"),
        ({"epochs": (10, 0)}, r"epochs=\(10, 0\): expected one number or more, from 1 on"),
        ({"decay": 1.0}, "decay=1.0: expected a number from 0 up to but not including 1"),
        ({"width": 0}, "width=0: expected 1 or more"),
        ({"steps": 0}, "steps=0: expected 1 or more"),
        ({"training": TrainingConfig(schedule="cosine")}, "schedule='cosine' depends on the last epoch"),
    ],
)
def test_bad_settings_are_refused(settings, line):
    codes = torch.zeros(10, 2)
    with pytest.raises(ConfigError, match=line):
        fit_flow_matching(exactly(codes), codes, **settings)


def test_codes_of_another_size_are_refused():
    prior = wild_flow()
    for ask in (prior.log_prob, prior.solver_error, prior.standardised):
        with pytest.raises(ValueError, match=r"z has shape \(4, 2\): expected \(..., 3\)"):
            ask(torch.zeros(4, 2))
    with pytest.raises(ValueError, match=r"z has shape \(5, 3\): expected \(..., 2\)"):
        fit_flow_matching(exactly(torch.zeros(10, 2)), torch.zeros(5, 3))
    with pytest.raises(ConfigError, match="no held-out codes: expected one or more, to judge by"):
        fit_flow_matching(exactly(torch.zeros(10, 2)), torch.zeros(0, 2))
