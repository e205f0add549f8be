"""The VAE as one of the families: shapes, settings, initial weights and the losses that train it."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small import generator, images, small_vae

from vaelib.config import ConfigError
from vaelib.evaluation import log_likelihood
from vaelib.likelihoods import LikelihoodConfig, make_likelihood
from vaelib.models import FAMILIES, VAE, ObjectiveConfig, UnsupportedError, VAEConfig, new_model, register
from vaelib.models.base import LatentVariableModel, ModelConfig, Objective, family_of
from vaelib.objectives import beta_at, dream, elbo, free_bits_kl, importance_weighted_bound
from vaelib.posteriors import FlowPosterior, IAFConfig, PlanarConfig, gaussian_kl
from vaelib.priors import Tempered, VampConfig
from vaelib.training import TrainingConfig, fit

pytestmark = pytest.mark.usefixtures("float64")
D = 6


def only_loss(model, objective, **options):
    ((parameters, loss),) = model.losses(objective, **options)
    assert {id(weight) for weight in parameters} == {id(weight) for weight in model.parameters()}
    return loss


# Shapes and settings


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
    config = VAEConfig(latent_dim=latent_dim, hidden=hidden, likelihood=LikelihoodConfig(name="gaussian", sigma=sigma))
    model = VAE(config, tuple(shape))
    x = images(batch, model.pixels)
    terms = elbo(model, x, samples=samples, generator=generator())
    assert all(term.shape == (batch,) and torch.isfinite(term).all() for term in terms)
    assert model.reconstruct(x).shape == x.shape
    assert model.sample(batch, generator(), noise=True).shape == x.shape


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: VAEConfig(latent_dim=0), "latent_dim=0 of VAEConfig"),
        (lambda: VAEConfig(activation="than"), "did you mean 'tanh'"),
        (lambda: VAEConfig(hidden=(0,)), "hidden.0=0"),
        (lambda: VAE(VAEConfig(), ()), "image_shape"),
        (lambda: small_vae().encode(torch.zeros(2, 5)), r"expected torch.float64 \(images, 6\)"),
        (lambda: small_vae().decode(torch.zeros(2, 5)), r"expected \(..., 1\)"),
        (lambda: log_likelihood(small_vae(), torch.zeros(2, 6), samples=1), "at least 2"),
    ],
    ids=["latents", "activation", "hidden", "image-shape", "encode", "decode", "samples"],
)
def test_bad_shapes_and_settings_are_refused(make, message):
    with pytest.raises(ValueError, match=message) as error:
        make()
    assert "\n" not in str(error.value)


def test_normal_initialisation_has_the_stated_spread():
    model = VAE(VAEConfig(init="normal", init_std=0.01), (28, 28))
    weights = torch.cat([parameter.flatten() for parameter in model.parameters()])
    assert weights.std().item() == pytest.approx(0.01, rel=0.01)


@pytest.mark.parametrize(
    "settings",
    [{"name": "bernoulli"}, {"name": "gaussian", "mean": "identity"}, {"name": "gaussian", "sigma": "per-pixel"}],
)
def test_with_output_bias_average_the_decoder_starts_at_the_average_image(settings):
    likelihood = LikelihoodConfig(**settings)
    config = VAEConfig(latent_dim=1, hidden=(3,), likelihood=likelihood, output_bias="average")
    model, x = VAE(config, (2, 3)), images(9, D)
    model.decoder.outputs.weight.data.zero_()
    model.start(x)
    torch.testing.assert_close(model.sample(1)[0], x.mean(0))


def test_otherwise_the_images_change_nothing():
    model = small_vae()
    before = model.decoder.outputs.bias.clone()
    model.start(images(9, D))
    assert torch.equal(model.decoder.outputs.bias, before)


# Losses


@pytest.mark.parametrize("settings", [{"beta": 0.5}, {"free_bits": 0.7}, {"beta": 2.0, "warmup_epochs": 4}])
def test_the_loss_uses_beta_and_free_bits_while_the_terms_stay_true(settings):
    model, x = small_vae(2), images(5, D)
    config = ObjectiveConfig(**settings)
    figures = only_loss(model, config)(x, 2.0, generator())
    plain = elbo(model, x, generator=generator())
    penalty = free_bits_kl(gaussian_kl(*model.encode(x)), config.free_bits) if config.free_bits else plain.kl
    beta = beta_at(2.0, config.beta, config.warmup_epochs)
    torch.testing.assert_close(figures["loss"], beta * penalty - plain.reconstruction)
    torch.testing.assert_close(figures["elbo"], plain.elbo)


@pytest.mark.parametrize("algorithm", ["aevb", "wake-sleep"])
def test_dynamic_binarisation_draws_each_batch_anew(algorithm):
    model, x = small_vae(2), torch.full((5, D), 0.5)
    _, loss = model.losses(ObjectiveConfig(algorithm=algorithm), binarise=True)[0]
    source = generator()
    first, second = (loss(x, 0.0, source)["reconstruction"] for _ in range(2))
    assert not torch.equal(first, second)


def test_importance_weighted_loss_is_the_negative_bound():
    model, x = small_vae(2), images(5, D)
    loss = only_loss(model, ObjectiveConfig(bound="importance-weighted", samples=7))
    figures = loss(x, 0.0, generator())
    torch.testing.assert_close(figures["loss"], -importance_weighted_bound(model, x, 7, generator()))
    torch.testing.assert_close(figures["elbo"], -figures["loss"])


@pytest.mark.parametrize("estimator", ["stl", "dreg"])
def test_the_importance_weighted_loss_takes_its_gradient_by_the_estimator(estimator):
    model, x = small_vae(2), images(5, D)
    loss = only_loss(model, ObjectiveConfig(bound="importance-weighted", samples=7, estimator=estimator))
    figures = loss(x, 0.0, generator())
    bound = importance_weighted_bound(model, x, 7, generator(), estimator=estimator)
    torch.testing.assert_close(figures["loss"], -bound)
    found, expected = gradients_of(figures["loss"].sum(), model), gradients_of(-bound.sum(), model)
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, expected[name])
    plain = importance_weighted_bound(model, x, 7, generator())
    assert not torch.allclose(found["encoder.mean.bias"], gradients_of(-plain.sum(), model)["encoder.mean.bias"])


def test_the_elbo_with_stl_has_the_terms_of_the_elbo_and_the_gradient_of_one_draw():
    model, x = small_vae(2), images(5, D)
    loss = only_loss(model, ObjectiveConfig(kl="monte-carlo", estimator="stl"))
    figures = loss(x, 0.0, generator())
    terms = elbo(model, x, kl="monte-carlo", generator=generator())
    for name, term in terms._asdict().items():
        torch.testing.assert_close(figures[name], term)
    bound = importance_weighted_bound(model, x, 1, generator(), estimator="stl")
    found, expected = gradients_of(figures["loss"].sum(), model), gradients_of(-bound.sum(), model)
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, expected[name])


def gradients_of(figure, model):
    found = torch.autograd.grad(figure, list(model.parameters()), allow_unused=True)
    return {name: g for (name, _), g in zip(model.named_parameters(), found, strict=True) if g is not None}


WAKE_SLEEP = ObjectiveConfig(algorithm="wake-sleep")
VAMP = {"prior": VampConfig(pseudo_inputs=4)}


def names_of(parameters, model):
    """What the model calls these parameters."""
    names = {id(weight): name for name, weight in model.named_parameters()}
    return {names[id(weight)] for weight in parameters}


@pytest.mark.parametrize("settings", [{}, {"likelihood": LikelihoodConfig(name="gaussian")}, VAMP])
def test_wake_sleep_is_two_pairs_that_share_no_parameter(settings):
    model = small_vae(2, **settings)
    (generative, _), (recognition, _) = model.losses(WAKE_SLEEP)
    awake, asleep = names_of(generative, model), names_of(recognition, model)
    assert asleep == {name for name, _ in model.named_parameters() if name.startswith("encoder.")}
    assert awake == {name for name, _ in model.named_parameters()} - asleep


def test_awake_the_decoder_learns_alone_and_asleep_the_encoder():
    """The decoder's gradient is that of the ELBO; the encoder's is that of log q at dreams, and of nothing else."""
    model, x = small_vae(2), images(5, D)
    (_, wake), (_, sleep) = model.losses(WAKE_SLEEP)
    source = generator()
    awake = gradients_of(wake(x, 0.0, source)["loss"].sum(), model)
    asleep = gradients_of(sleep(x, 0.0, source)["loss"].sum(), model)
    source = generator()
    bound = gradients_of(-elbo(model, x, generator=source).elbo.sum(), model)
    z, dreamt = dream(model, len(x), source)
    dreams = gradients_of(-model.posterior(dreamt).log_prob(z).sum(), model)
    assert {name.split(".")[0] for name in awake} == {"decoder"}
    assert {name.split(".")[0] for name in asleep} == {"encoder"}
    for name, gradient in awake.items():
        torch.testing.assert_close(gradient, bound[name])
    for name, gradient in asleep.items():
        torch.testing.assert_close(gradient, dreams[name])


@pytest.mark.parametrize("kl", ["analytic", "monte-carlo"])
def test_the_wake_phase_does_not_move_the_encoder(kl):
    """Not even where the prior looks through it, as a VampPrior does."""
    model = small_vae(2, **(VAMP if kl == "monte-carlo" else {}))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    pairs = model.losses(ObjectiveConfig(algorithm="wake-sleep", kl=kl))
    config = TrainingConfig(optimiser="sgd", learning_rate=0.1, batch_size=5, epochs=1, device="cpu")
    fit(model, pairs[:1], images(10, D), config)
    moved = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert not any(name.startswith("encoder.") for name in moved) and "decoder.outputs.bias" in moved
    assert ("prior.logits" in moved) == (kl == "monte-carlo")
    fit(model, pairs[1:], images(10, D), config)
    moved = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert "encoder.mean.bias" in moved


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"bound": "importance-weighted", "beta": 2.0}, "no KL term"),
        ({"free_bits": 1.0, "kl": "monte-carlo"}, "nats per dimension"),
        ({"samples": 0}, "samples=0"),
        ({"algorithm": "wake-sleep", "beta": 2.0}, "wake-sleep has no weighed KL"),
        ({"algorithm": "wake-sleep", "kl": "monte-carlo", "estimator": "stl"}, "wake-sleep has no estimator='stl'"),
        ({"estimator": "dreg", "kl": "monte-carlo"}, "needs bound='importance-weighted'"),
        ({"estimator": "stl"}, "set kl='monte-carlo'"),
        ({"estimator": "drag"}, "did you mean 'dreg'"),
        ({"algorithm": "wakesleep"}, "did you mean 'wake-sleep'"),
        ({"kl": "analytical"}, "did you mean 'analytic'"),
    ],
)
def test_bad_objective_settings_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        ObjectiveConfig(**settings)


# A flow as posterior

FLOWS = {"planar": PlanarConfig(steps=3), "iaf": IAFConfig(transforms=2)}
every_flow = pytest.mark.parametrize("posterior", FLOWS.values(), ids=FLOWS.keys())
BY_SAMPLING = ObjectiveConfig(kl="monte-carlo")


@every_flow
def test_a_flow_posterior_learns_with_the_model(posterior):
    """Every weight has a gradient, which finite differences confirm on one of the flow's own."""
    model, x = small_vae(2, posterior=posterior), images(5, D)
    loss = only_loss(model, BY_SAMPLING)

    def value():
        return loss(x, 0.0, generator())["loss"].sum()

    gradients = gradients_of(value(), model)
    assert set(gradients) == {name for name, _ in model.named_parameters()}
    name, weight = max(model.flow.named_parameters(), key=lambda pair: pair[1].numel())
    at = tuple(index.item() for index in torch.unravel_index(gradients[f"flow.{name}"].abs().argmax(), weight.shape))
    with torch.no_grad():
        weight[at] += 1e-6
        above = value()
        weight[at] -= 2e-6
        below = value()
    assert gradients[f"flow.{name}"][at].item() == pytest.approx((above - below).item() / 2e-6, rel=1e-5)


@every_flow
def test_a_flow_posterior_gives_bounds_of_the_exact_evidence(posterior):
    """log p(x) by quadrature over two latents: the ELBO lies below, and importance sampling finds it."""
    model, x = small_vae(2, posterior=posterior), images(4, D)
    axis = torch.linspace(-7, 7, 281)
    z = torch.cartesian_prod(axis, axis)[:, None]
    model.encoder.log_var.bias.data += 1  # a wide q(z|x), so that no weight is large
    with torch.no_grad():
        joint = model.likelihood.log_prob(x, model.decode(z)) + model.prior.log_prob(z)
        evidence = torch.logsumexp(joint, 0) + 2 * math.log(14 / 280)
        bound = elbo(model, x, samples=20_000, kl="monte-carlo", generator=generator()).elbo
    estimate = log_likelihood(model, x, 20_000, generator(), progress=False)
    torch.testing.assert_close(estimate.value, evidence, atol=0.02, rtol=0)
    assert (bound < evidence).all()
    assert model.terms(x, generator())["elbo"].shape == (4,)


@every_flow
def test_codes_and_reconstructions_are_at_the_flows_centre(posterior):
    model, x = small_vae(2, posterior=posterior), images(5, D)
    q = model.posterior(x)
    assert isinstance(q, FlowPosterior) and not torch.allclose(q.centre, q.base.mean)
    torch.testing.assert_close(model.codes(x), q.flow(q.base.mean)[0].detach())
    torch.testing.assert_close(model.reconstruct(x), model.mean_image(model.codes(x)))
    with pytest.raises(
        UnsupportedError, match=rf"no mean and log-variance of q\(z\|x\), as posterior='{posterior.name}'"
    ):
        model.encode(x)
    with pytest.raises(ValueError, match=r"expected torch.float64 \(images, 6\)"):
        model.posterior(x[:, :5])


@every_flow
@pytest.mark.parametrize(
    ("objective", "message"),
    [
        ({}, "has no closed form: use kl='monte-carlo'"),
        ({"algorithm": "wake-sleep", "kl": "monte-carlo"}, "wake-sleep asks q"),
        ({"estimator": "stl", "kl": "monte-carlo"}, "estimator=.stl. asks q"),
    ],
    ids=["analytic", "wake-sleep", "stl"],
)
def test_what_a_flow_posterior_cannot_do_is_refused_before_training(posterior, objective, message):
    with pytest.raises(ConfigError, match=message):
        small_vae(2, posterior=posterior).losses(ObjectiveConfig(**objective))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"posterior": {"name": "planer"}}, "did you mean 'planar'"),
        ({"posterior": {"name": "planar", "steps": 0}}, "steps=0"),
        ({"posterior": {"name": "planar"}, "prior": {"name": "vamp"}}, "prior='vamp' is a mixture of Gaussian"),
    ],
)
def test_bad_posterior_settings_are_refused(settings, message):
    with pytest.raises(ConfigError, match=message):
        VAEConfig(**settings)


def test_without_a_flow_nothing_is_added():
    assert not any(name.startswith("flow") for name in small_vae(2).state_dict())


def test_settled_epochs_are_those_of_the_warm_up():
    assert ObjectiveConfig().settled_epochs == 0
    assert ObjectiveConfig(warmup_epochs=2.5).settled_epochs == 3


# What is passed instead of set; what a family cannot do; how it becomes known


def test_a_prior_and_a_likelihood_may_be_passed():
    likelihood = make_likelihood(LikelihoodConfig(name="gaussian", sigma="fixed", sigma_value=0.5))
    prior = Tempered(2, 0.5)
    model = VAE(VAEConfig(latent_dim=2, hidden=(8,)), (2, 3), prior=prior, likelihood=likelihood)
    assert model.prior is prior and model.likelihood is likelihood
    assert elbo(model, images(5, D), generator=generator()).kl.shape == (5,)


def test_the_discretised_twin_has_the_same_networks():
    model = small_vae(2, likelihood=LikelihoodConfig(name="gaussian", sigma="fixed", sigma_value=0.2))
    twin = model.discretised()
    assert twin.config.likelihood.name == "discretised-gaussian" and model.config.likelihood.name == "gaussian"
    torch.testing.assert_close(twin.reconstruct(images(5, D)), model.reconstruct(images(5, D)))
    assert twin.discretised().likelihood.config == twin.likelihood.config


def test_the_seed_decides_the_first_weights_and_torchs_own_stays_as_it_was():
    state = torch.random.get_rng_state()
    first, again, other = (new_model(VAEConfig(hidden=(8,)), (2, 3), seed) for seed in (1, 1, 2))
    assert torch.equal(first.encoder.mean.weight, again.encoder.mean.weight)
    assert not torch.equal(first.encoder.mean.weight, other.encoder.mean.weight)
    assert torch.equal(state, torch.random.get_rng_state())


class Bare(LatentVariableModel):
    """A family that samples, and nothing else."""

    family, Settings, Objective = "bare", ModelConfig, Objective

    def __init__(self, config, image_shape):
        super().__init__(config, image_shape)
        self.weight = torch.nn.Parameter(torch.zeros(()))

    def losses(self, objective, *, binarise=False):
        return []

    def sample(self, n, generator=None):
        return torch.zeros(n, self.pixels)


@pytest.mark.parametrize(
    ("ask", "lacks"),
    [
        (lambda model, x: model.posterior(x), "posterior"),
        (lambda model, x: model.log_weights(x, 3), "likelihood"),
        (lambda model, x: model.terms(x), "likelihood"),
        (lambda model, x: importance_weighted_bound(model, x, 3), "likelihood"),
        (lambda model, x: model.reconstruct(x), "reconstruction"),
        (lambda model, x: model.codes(x), "code for an image"),
        (lambda model, x: model.discretised(), "likelihood of grey levels"),
    ],
    ids=["posterior", "log_weights", "terms", "bound", "reconstruct", "codes", "discretised"],
)
def test_what_a_family_cannot_do_it_says_in_one_line(ask, lacks):
    with pytest.raises(UnsupportedError) as error:
        ask(Bare(ModelConfig(family="bare"), (2, 3)), images(5, D))
    assert str(error.value) == f"a model of the family 'bare' has no {lacks}"


def test_families_are_known_by_their_names(monkeypatch):
    monkeypatch.setattr("vaelib.models.base.FAMILIES", dict(FAMILIES))
    assert register(Bare) is Bare and family_of({"family": "bare"}) is Bare
    assert family_of({}) is VAE and family_of(VAEConfig()) is VAE
    register(Bare)  # again, as a cell that is run twice does
    with pytest.raises(ConfigError, match="two families are called 'bare'"):
        register(type("Other", (Bare,), {}))
    with pytest.raises(ConfigError, match="unknown family of models 'bear': did you mean 'bare'"):
        family_of({"family": "bear"})
