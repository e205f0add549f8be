"""Each prior against the mathematics: a density that integrates to one, samples that follow it, a KL that is one."""

import copy
import math

import numpy as np
import pytest
import torch
from scipy import stats

from vaelib.config import ConfigError, amended, flat
from vaelib.models import VAE, ObjectiveConfig, VAEConfig
from vaelib.objectives import elbo
from vaelib.priors import (
    Flow,
    FlowConfig,
    Mixture,
    MixtureFit,
    StandardNormal,
    StandardNormalConfig,
    Tempered,
    Vamp,
    VampConfig,
    fit_mixture,
    make_prior,
    one_standard_error,
    with_prior,
)

WEIGHTS = [0.2, 0.8]
MEANS = [[-1.0, 0.5], [1.0, 0.0]]
FACTORS = [[[0.5, 0.0], [0.3, 0.4]], [[0.6, 0.0], [-0.2, 0.5]]]


def mixture():
    return Mixture(WEIGHTS, MEANS, FACTORS)


def vamp():
    torch.manual_seed(0)
    model = VAE(VAEConfig(latent_dim=2, hidden=(8,), prior=VampConfig(pseudo_inputs=5)), (3, 2))
    for parameter in model.encoder.parameters():
        parameter.data.mul_(2)  # components apart from one another
    return model.prior


def flow(kind="spline"):
    torch.manual_seed(0)
    prior = Flow(2, transforms=2, width=16, kind=kind)
    for parameter in prior.parameters():
        parameter.data.add_(0.3 * torch.randn_like(parameter))
    return prior


PRIORS = {"standard": lambda: StandardNormal(2), "tempered": lambda: Tempered(2, 0.7)}
PRIORS |= {"mixture": mixture, "vamp": vamp, "flow": flow, "coupling": lambda: flow("coupling")}
every_prior = pytest.mark.parametrize("make", PRIORS.values(), ids=PRIORS.keys())


def plane(reach=6.0, cells=300):
    """Points of a fine grid, and the area that each stands for."""
    axis = (torch.arange(cells) + 0.5) / cells * 2 * reach - reach
    return torch.cartesian_prod(axis, axis), (2 * reach / cells) ** 2


@every_prior
@torch.no_grad()
def test_the_density_integrates_to_one_and_samples_follow_it(make):
    prior = make()
    z, area = plane()
    density = prior.log_prob(z).double().exp() * area
    assert density.sum().item() == pytest.approx(1, abs=2e-3)

    sample = prior.sample(20000, torch.Generator().manual_seed(0))
    assert sample.shape == (20000, 2)
    for direction in (torch.tensor([0.96, 0.28]), torch.tensor([0.6, -0.8])):
        at = z @ direction
        order = at.argsort()
        cdf = torch.cumsum(density[order], 0)
        values = np.interp((sample @ direction).numpy(), at[order].numpy(), cdf.numpy())
        assert stats.kstest(values, "uniform").statistic < 0.02  # 0.0138 is the 0.1 % level


@every_prior
def test_any_leading_shape_and_the_same_seed_give_the_same(make):
    prior = make()
    z = torch.randn(3, 4, 2, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(prior.log_prob(z)[1, 2], prior.log_prob(z[1, 2]))
    draws = [prior.sample(5, torch.Generator().manual_seed(3)) for _ in range(2)]
    assert torch.equal(*draws) and not draws[0].requires_grad


@pytest.mark.parametrize("temperature", [1.0, 0.7, 2.0])
def test_a_kl_in_closed_form_is_that_of_torch(temperature):
    normal = torch.distributions.Normal
    mean, log_var = torch.randn(2, 6, 2, generator=torch.Generator().manual_seed(0))
    expected = torch.distributions.kl_divergence(normal(mean, torch.exp(0.5 * log_var)), normal(0.0, temperature))
    torch.testing.assert_close(Tempered(2, temperature).kl(mean, log_var), expected)
    if temperature == 1:
        torch.testing.assert_close(StandardNormal(2).kl(mean, log_var), expected)


def test_a_mixture_is_scipys():
    z = torch.randn(50, 2, generator=torch.Generator().manual_seed(0))
    normals = [
        stats.multivariate_normal(mean, np.array(f) @ np.array(f).T) for mean, f in zip(MEANS, FACTORS, strict=True)
    ]
    expected = np.log(sum(w * n.pdf(z.numpy()) for w, n in zip(WEIGHTS, normals, strict=True)))
    np.testing.assert_allclose(mixture().log_prob(z).numpy(), expected, rtol=1e-4)


def test_a_mixture_far_away_and_narrow_keeps_its_digits():
    far = Mixture([1.0], [[1000.0, -1000.0]], [[[1e-3, 0.0], [0.0, 1e-3]]])
    at_its_mean = far.log_prob(torch.tensor([[1000.0, -1000.0]])).item()
    assert at_its_mean == pytest.approx(-math.log(2 * math.pi) - 2 * math.log(1e-3), abs=0.01)


def test_a_mixture_judges_codes_in_blocks_as_at_once(monkeypatch):
    z = torch.randn(5, 7, 2, generator=torch.Generator().manual_seed(0))
    at_once = mixture().log_prob(z)
    monkeypatch.setattr("vaelib.priors.CODES_AT_ONCE", 3)
    torch.testing.assert_close(mixture().log_prob(z), at_once)
    assert at_once.shape == (5, 7)


def test_a_vamp_is_the_average_of_the_posteriors_of_its_pseudo_inputs():
    prior = vamp()
    mean, log_var = (t.detach() for t in prior.components())
    z = torch.randn(7, 2, generator=torch.Generator().manual_seed(0))
    mixed = torch.distributions.MixtureSameFamily(
        torch.distributions.Categorical(torch.ones(5)),
        torch.distributions.Independent(torch.distributions.Normal(mean, torch.exp(0.5 * log_var)), 1),
    )
    torch.testing.assert_close(prior.log_prob(z).detach(), mixed.log_prob(z))


def test_a_planted_mixture_is_found_and_its_size_chosen():
    planted = Mixture(np.ones(3) / 3, [[-4.0, 0.0], [0.0, 4.0], [4.0, 0.0]], np.stack([0.5 * np.eye(2)] * 3))
    codes, held_out = (planted.sample(n, torch.Generator().manual_seed(n)) for n in (600, 500))
    fit = fit_mixture(codes, held_out, (1, 2, 3, 60), fits=2, narrowest=0.01)
    assert fit.components == 3 and not fit.at_edge
    assert fit.scores[3] == pytest.approx(planted.log_prob(held_out).mean().item(), abs=0.05)
    weights = fit.prior.log_weights.exp()
    assert len(weights) == 6 and weights.sum().item() == pytest.approx(1)


def scores_of(means, spread=1.0):
    """Sixteen scores of each size, of these means and of that standard deviation."""
    around = torch.linspace(-1, 1, 16, dtype=torch.float64)
    return {size: mean + spread * around / around.std() for size, mean in means.items()}


@pytest.mark.parametrize(
    ("means", "spread", "chosen"),
    [
        ({5: -3.0, 10: -1.24, 20: -1.0, 40: -1.1}, 1.0, 10),  # the best is 20; its error is 1 / sqrt(16)
        ({5: -3.0, 10: -1.26, 20: -1.0, 40: -1.1}, 1.0, 20),  # 10 lies just below
        ({40: -1.1, 20: -1.0, 10: -1.24}, 1.0, 10),  # in whatever order
        ({5: -1.5, 10: -1.2, 20: -1.0}, 4.0, 5),  # a noisy best: all are as good
        ({5: -1.5, 10: -1.2, 20: -1.0}, 0.01, 20),
        ({5: -1.0, 10: -1.0}, 0.0, 5),  # equally good: the smaller
    ],
)
def test_the_smallest_size_within_one_standard_error_of_the_best(means, spread, chosen):
    assert one_standard_error(scores_of(means, spread)) == chosen


@pytest.mark.parametrize(
    ("scores", "chosen", "at_edge"),
    [
        ({5: -2.0, 10: -1.0, 20: -1.5}, 10, False),
        ({5: -1.1, 10: -1.0, 20: -1.5}, 5, True),  # the chosen one is the smallest
        ({5: -2.0, 10: -1.1, 20: -1.0}, 10, True),  # the best is the largest
        ({1: -1.0, 2: -1.5, 5: -2.0}, 1, False),  # there is no smaller one
        ({}, 10, False),  # nothing was chosen
    ],
)
def test_a_size_at_the_edge_of_those_tried_is_told(scores, chosen, at_edge):
    assert MixtureFit(mixture(), chosen, scores).at_edge == at_edge


def test_an_edge_is_said_aloud():
    codes = torch.randn(200, 2, generator=torch.Generator().manual_seed(0))
    codes[::2] += 9
    with pytest.warns(UserWarning, match=r"may lie outside of those tried \(1, 2\); chosen: 2"):
        fit_mixture(codes[:150], codes[150:], (2, 1))


def test_no_component_is_narrower_than_allowed():
    line = torch.linspace(-1, 1, 50)[:, None] * torch.tensor([[1.0, 1.0]])  # no width across
    fit = fit_mixture(line, line, (1,), fits=1, narrowest=0.2)
    smallest = torch.linalg.svdvals(fit.prior.factors).min().item()
    assert smallest == pytest.approx(0.2, rel=1e-3)


@pytest.mark.parametrize("components", [0, 51])
def test_a_mixture_needs_a_code_for_each_component(components):
    with pytest.raises(ConfigError, match=rf"components={components}: expected a number from 1 to 50"):
        fit_mixture(torch.randn(50, 2), torch.randn(5, 2), (components,))


def test_parts_of_a_mixture_must_fit():
    with pytest.raises(ConfigError, match=r"weights \(2,\) and factors \(2, 2, 2\); these are \(3,\)"):
        Mixture([1, 1, 1], MEANS, FACTORS)


@pytest.mark.parametrize("temperature", [0.0, -1.0, math.nan])
def test_a_temperature_is_positive(temperature):
    with pytest.raises(ConfigError, match=r"temperature=.*: expected a positive number"):
        Tempered(2, temperature)


def test_an_unknown_prior_or_a_setting_of_another_is_named():
    with pytest.raises(ConfigError, match=r"unknown prior of VAEConfig 'vampp'.*did you mean 'vamp'"):
        VAEConfig(prior={"name": "vampp"})
    with pytest.raises(ConfigError, match=r"unknown setting of FlowConfig 'pseudo_inputs'"):
        VAEConfig(prior={"name": "flow", "pseudo_inputs": 5})


def test_a_prior_has_only_the_settings_of_its_kind():
    vamp = amended(VAEConfig(), {"prior.name": "vamp", "prior.pseudo_inputs": 5})
    assert vamp.prior == VampConfig(pseudo_inputs=5)
    assert {name for name in flat(vamp) if name.startswith("prior.")} == {"prior.name", "prior.pseudo_inputs"}
    assert amended(vamp, {"prior.name": "flow"}).prior == FlowConfig()
    assert amended(vamp, {"prior.name": "vamp", "latent_dim": 3}).prior == vamp.prior  # no new kind: nothing is lost
    with pytest.raises(ConfigError, match=r"'prior.transforms'"):
        amended(vamp, {"prior.transforms": 2})


@pytest.mark.parametrize("kind", ["spline", "coupling"])
def test_a_flows_log_determinant_is_that_of_autograds_jacobian(kind):
    prior, z = flow(kind).double(), torch.randn(6, 2, generator=torch.Generator().manual_seed(0)).double()
    transform = prior.flow().transform
    for point, (base, log_det) in zip(z, map(transform.call_and_ladj, z), strict=True):
        jacobian = torch.autograd.functional.jacobian(transform, point)
        torch.testing.assert_close(log_det, torch.linalg.det(jacobian).abs().log())
        normal = torch.distributions.Normal(0.0, 1.0).log_prob(base).sum()
        torch.testing.assert_close(prior.log_prob(point), normal + log_det)


@pytest.mark.parametrize("kind", ["spline", "coupling"])
def test_a_flow_prior_set_to_the_identity_is_the_standard_normal(kind):
    prior, z = Flow(2, kind=kind), 2 * torch.randn(50, 2, generator=torch.Generator().manual_seed(0))
    for parameter in prior.parameters():
        parameter.data.zero_()
    torch.testing.assert_close(prior.log_prob(z), StandardNormal(2).log_prob(z))


@torch.no_grad()
def test_a_spline_is_the_identity_far_out():
    prior, far = flow(), torch.tensor([[6.0, -7.0], [-5.5, 9.0]])
    torch.testing.assert_close(prior.log_prob(far), StandardNormal(2).log_prob(far))
    assert not torch.allclose(prior.log_prob(far / 5), StandardNormal(2).log_prob(far / 5))


def test_a_flow_over_one_dimension_is_a_spline():
    assert Flow(1, kind="spline").log_prob(torch.zeros(3, 1)).shape == (3,)
    with pytest.raises(ConfigError, match=r"a coupling flow needs latent_dim=2 or more: use flow='spline' for one"):
        VAE(VAEConfig(latent_dim=1, hidden=(8,), prior=FlowConfig(flow="coupling")), (3, 2))
    with pytest.raises(ConfigError, match="did you mean 'coupling'"):
        FlowConfig(flow="couplings")


LEARNED = [VampConfig(pseudo_inputs=4), FlowConfig(transforms=1), FlowConfig(flow="coupling", transforms=2)]


@pytest.mark.parametrize("prior", LEARNED, ids=["vamp", "spline", "coupling"])
def test_a_learned_prior_learns_with_the_model_by_monte_carlo_only(prior):
    torch.manual_seed(0)
    model = VAE(VAEConfig(latent_dim=2, hidden=(8,), prior=prior), (3, 2))
    x = torch.rand(10, 6, generator=torch.Generator().manual_seed(0))
    with pytest.raises(ValueError, match=r"has no closed form: use kl='monte-carlo'"):
        elbo(model, x)
    ((_, loss),) = model.losses(ObjectiveConfig(kl="monte-carlo"))
    loss(x, 0.0, None)["loss"].mean().backward()
    assert all(parameter.grad is not None for parameter in model.prior.parameters())


def test_a_vamp_looks_at_the_models_encoder_and_owns_only_its_images():
    model = VAE(VAEConfig(latent_dim=2, hidden=(8,), prior=VampConfig(pseudo_inputs=4)), (3, 2))
    assert [name for name, _ in model.prior.named_parameters()] == ["logits"]
    before = model.prior.components()[0]
    model.encoder.mean.bias.data += 1
    torch.testing.assert_close(model.prior.components()[0], before + 1)
    twin = copy.deepcopy(model)
    model.encoder.mean.bias.data += 1
    torch.testing.assert_close(twin.prior.components()[0], before + 1)  # it looks at the twin's own


def test_make_prior_knows_every_kind():
    assert isinstance(make_prior(StandardNormalConfig(), 3, 6, torch.nn.Identity()), StandardNormal)
    assert isinstance(make_prior(VampConfig(), 3, 6, torch.nn.Identity()), Vamp)
    assert isinstance(make_prior(FlowConfig(transforms=1), 3, 6, torch.nn.Identity()), Flow)


def test_a_model_is_given_another_prior_and_keeps_its_own():
    model = VAE(VAEConfig(latent_dim=2, hidden=(8,)), (3, 2))
    twin = with_prior(model, mixture())
    assert isinstance(twin.prior, Mixture) and isinstance(model.prior, StandardNormal) and not twin.training
    x = torch.rand(10, 6, generator=torch.Generator().manual_seed(0))
    assert torch.equal(twin.reconstruct(x), model.reconstruct(x))
    with pytest.raises(ValueError, match="a prior over 3 dimensions does not fit a model that has 2"):
        with_prior(model, StandardNormal(3))
