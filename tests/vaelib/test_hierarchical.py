"""Hierarchies: a linear one against its exact evidence, Gaussians merged, figures by level, and the way of a run."""

import math

import pytest
import torch
from torch.distributions import MultivariateNormal, Normal, kl_divergence

from vaelib.cli import main
from vaelib.config import ConfigError, amended, grid
from vaelib.data import DataConfig
from vaelib.diagnosis import diagnose
from vaelib.evaluation import log_likelihood, summary
from vaelib.likelihoods import LikelihoodConfig
from vaelib.models import HierarchicalConfig, HierarchicalObjective, HierarchicalVAE, VAEConfig, new_model
from vaelib.models.base import mlp
from vaelib.models.hierarchical import LevelPrior, merged
from vaelib.objectives import importance_weighted_bound
from vaelib.posteriors import DiagonalGaussian
from vaelib.priors import FlowConfig, Mixture, VampConfig, with_prior
from vaelib.runs import RunConfig, Store, train
from vaelib.sweeps import sweep
from vaelib.training import TrainingConfig, fit

pytestmark = pytest.mark.usefixtures("float64")

SIGMA = 0.3
W = torch.tensor([[1.0, 0.5], [1.0, -0.5], [-0.5, 1.0], [0.5, 1.0]]).double()  # orthogonal columns
A, B, TAU = (torch.tensor(values).double() for values in ([0.8, 1.5], [0.3, -0.2], [0.6, 0.4]))
C = torch.tensor([0.1, 0.2, 0.3, 0.4]).double()
LINEAR = LikelihoodConfig(name="gaussian", mean="identity", sigma="fixed", sigma_value=SIGMA)
INFERENCE = ("ladder", "bottom-up")


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def set_to(layer, weight, bias, log_var):
    """Makes a Gaussian of mean weight @ input + bias and of constant variance."""
    layer.weight.copy_(torch.cat([weight, torch.zeros_like(weight)]))
    layer.bias.copy_(torch.cat([bias, log_var]))


@torch.no_grad()
def linear(inference, *, width=0.0, shift=0.0):
    """z_2 ~ N(0, I); z_1 = A z_2 + B + TAU e; x = W z_1 + C + SIGMA e; with its exact posterior, or one that is off."""
    config = HierarchicalConfig(latents=(2, 2), hidden=(), inference=inference, likelihood=LINEAR)
    model = HierarchicalVAE(config, (2, 2)).double()
    model.decoder[-1].weight.copy_(W)
    model.decoder[-1].bias.copy_(C)
    set_to(model.down[0].outputs, A.diag(), B, 2 * TAU.log())
    lengths = W.square().sum(0)
    s2, back = SIGMA**2 / lengths, W.T / lengths[:, None]  # y = back @ (x - C) is z_1 plus noise of variance s2
    if inference == "ladder":
        set_to(model.up[0].outputs, back, -back @ C, s2.log() + width)
        precision = 1 + A**2 / (s2 + TAU**2)
        gain = A / (s2 + TAU**2) / precision
        set_to(model.up[1].outputs, gain[:, None] * back, -gain * (back @ C + B) + shift, -precision.log() + width)
    else:
        of_z1 = A**2 + TAU**2
        variance = 1 / (1 / of_z1 + 1 / s2)
        to_z1 = (variance / s2)[:, None] * back
        set_to(model.up[0].outputs, to_z1, variance * B / of_z1 - to_z1 @ C + shift, variance.log() + width)
        precision = 1 + A**2 / TAU**2
        gain = A / TAU**2 / precision
        set_to(model.up[1].outputs, gain.diag(), -gain * B, -precision.log() + width)
    return model.eval()


def evidence(mean=(0.0, 0.0), covariance=None):
    """The distribution of x in closed form, where z_2 has that mean and covariance."""
    covariance = torch.eye(2) if covariance is None else covariance
    of_z1 = A.diag() @ covariance @ A.diag() + (TAU**2).diag()
    centre = A * torch.tensor(mean) + B
    return MultivariateNormal(W @ centre + C, W @ of_z1 @ W.T + SIGMA**2 * torch.eye(4))


@pytest.fixture
def x(float64):
    """Five images from the model itself."""
    return evidence().loc + torch.randn(5, 4, generator=generator(3)) @ evidence().scale_tril.T


# The linear model, which is solved exactly


@pytest.mark.parametrize("inference", INFERENCE)
def test_with_the_exact_posterior_every_draw_gives_the_evidence(inference, x):
    log_w = linear(inference).log_weights(x, 7, generator())
    torch.testing.assert_close(log_w, evidence().log_prob(x).expand(7, 5))


@pytest.mark.parametrize("inference", INFERENCE)
@pytest.mark.parametrize("kl", ["analytic", "monte-carlo"])
def test_with_the_exact_posterior_the_elbo_is_the_evidence(inference, kl, x):
    objective = HierarchicalObjective(kl=kl, samples=40_000 if kl == "analytic" else 3)
    ((_, loss),) = linear(inference).losses(objective)
    found = loss(x, 0.0, generator())
    atol = 0.05 if kl == "analytic" else 1e-9  # in closed form the parts no longer cancel draw by draw
    torch.testing.assert_close(found["elbo"], evidence().log_prob(x), atol=atol, rtol=0)


@pytest.mark.parametrize("inference", INFERENCE)
def test_with_another_posterior_the_elbo_is_below_and_importance_weights_mend_it(inference, x):
    model, exact = linear(inference, width=0.7, shift=0.1), evidence().log_prob(x)
    many = model.log_weights(x, 20_000, generator())
    assert (many.mean(0) < exact - 0.2).all()
    estimate = log_likelihood(model, x, 20_000, generator(), progress=False)
    assert ((estimate.value - exact).abs() < 5 * estimate.standard_error).all()
    assert estimate.standard_error.max() < 0.03
    bound = importance_weighted_bound(model, x, 20_000, generator())
    torch.testing.assert_close(bound, exact, atol=0.1, rtol=0)


def test_the_parts_of_a_ladder_are_the_divergences_of_its_levels(x):
    """Level 2 against p(z_2|x) in closed form; level 1 is an average of KL(p(z_1|z_2, x) || p(z_1|z_2))."""
    terms = linear("ladder").terms(x, generator())
    s2 = SIGMA**2 / W.square().sum(0)
    y = (x - C) @ W / W.square().sum(0)
    precision = 1 + A**2 / (s2 + TAU**2)
    top = Normal(A * (y - B) / (s2 + TAU**2) / precision, precision.rsqrt())
    torch.testing.assert_close(terms["kl_2"], kl_divergence(top, Normal(0.0, 1.0)).sum(-1))
    z_2 = top.loc + top.scale * torch.randn(1, 5, 2, generator=generator())[0]
    below = Normal(A * z_2 + B, TAU)
    variance = 1 / (1 / s2 + 1 / TAU**2)
    q = Normal(variance * (y / s2 + below.loc / TAU**2), variance.sqrt())
    torch.testing.assert_close(terms["kl_1"], kl_divergence(q, below).sum(-1))


@pytest.mark.parametrize("inference", INFERENCE)
def test_images_have_the_covariance_of_the_model(inference):
    model, exact = linear(inference), evidence()
    drawn = model.sample(100_000, generator(), noise=True)
    torch.testing.assert_close(drawn.mean(0), exact.mean, atol=0.03, rtol=0)
    torch.testing.assert_close(drawn.T.cov(), exact.covariance_matrix, atol=0.06, rtol=0)
    means = model.sample(100_000, generator())
    of_means = exact.covariance_matrix - SIGMA**2 * torch.eye(4)
    torch.testing.assert_close(means.T.cov(), of_means, atol=0.06, rtol=0)


def test_another_prior_for_the_top_changes_the_evidence_as_it_should(x):
    factor = torch.tensor([[0.5, 0.0], [0.3, 0.8]])
    moved = with_prior(linear("ladder"), Mixture([1.0], [[1.0, -0.5]], factor[None].numpy()).double())
    estimate = log_likelihood(moved, x, 40_000, generator(), progress=False)
    exact = evidence((1.0, -0.5), factor @ factor.T).log_prob(x)
    assert ((estimate.value - exact).abs() < 5 * estimate.standard_error).all()
    assert estimate.standard_error.max() < 0.1
    terms = moved.terms(x, generator())  # the top's part has no closed form now
    torch.testing.assert_close(terms["elbo"], terms["reconstruction"] - terms["kl_1"] - terms["kl_2"])
    drawn = moved.sample(100_000, generator())
    torch.testing.assert_close(drawn.mean(0), evidence((1.0, -0.5)).mean, atol=0.03, rtol=0)


# Gaussians


def test_merged_is_the_product_of_two_gaussians_renormalised():
    z = torch.linspace(-12, 12, 4001)[:, None]
    said, above = (torch.randn(2, 1, generator=generator(seed)) for seed in (1, 2))
    q = merged(DiagonalGaussian(*said), LevelPrior(*above))
    product = Normal(said[0], (said[1] / 2).exp()).log_prob(z) + Normal(above[0], (above[1] / 2).exp()).log_prob(z)
    normalised = product[:, 0] - torch.logsumexp(product[:, 0], 0) - math.log(24 / 4000)
    torch.testing.assert_close(q.log_prob(z), normalised)


def test_merging_stands_extreme_precisions():
    for log_var in (-200.0, 200.0):
        wide = torch.tensor([log_var], requires_grad=True)
        q = merged(DiagonalGaussian(torch.ones(1), wide), LevelPrior(torch.zeros(1), torch.zeros(1)))
        (q.mean + q.log_var).sum().backward()
        assert torch.isfinite(q.mean + q.log_var).all() and torch.isfinite(wide.grad).all()


def test_the_divergence_from_a_level_prior():
    mean, log_var, above, log_width = torch.randn(4, 3, 2, generator=generator())
    q, p = Normal(mean, (log_var / 2).exp()), Normal(above, (log_width / 2).exp())
    torch.testing.assert_close(LevelPrior(above, log_width).kl(mean, log_var), kl_divergence(q, p))


@torch.no_grad()
def test_the_divergence_is_that_of_the_merged_posterior():
    """Where the image says nothing of z_1, q is the prior and costs nothing, wherever the encoder points."""
    model = small()
    model.up[0].outputs.bias[3:] = 60.0  # log-variance of the evidence
    terms = model.terms(torch.rand(5, 6, generator=generator()), generator())
    assert terms["kl_1"].abs().max() < 1e-9 < terms["kl_2"].min()


# Models with networks


def small(latents=(3, 2), **settings):
    return new_model(HierarchicalConfig(latents=latents, hidden=(8, 7), **settings), (2, 3)).double()


def images(n=5):
    return torch.randint(0, 256, (n, 6), generator=generator(1)) / 255


@pytest.mark.parametrize("inference", INFERENCE)
@pytest.mark.parametrize("latents", [(3, 2), (4, 3, 2)])
@pytest.mark.parametrize("batch_norm", [False, True])
def test_any_hierarchy_gives_its_figures_and_pictures(inference, latents, batch_norm):
    model, x = small(latents, inference=inference, batch_norm=batch_norm), images()
    ((weights, loss),) = model.losses(HierarchicalObjective(samples=2), binarise=True)
    figures = loss(x, 0.0, generator())
    parts = [figures[f"kl_{level}"] for level in range(1, len(latents) + 1)]
    torch.testing.assert_close(sum(parts), figures["kl"])
    torch.testing.assert_close(figures["reconstruction"] - figures["kl"], figures["elbo"])
    assert all(figure.shape == (5,) for figure in figures.values())
    figures["loss"].mean().backward()
    assert all(weight.grad is not None and torch.isfinite(weight.grad).all() for weight in weights)
    model.eval()
    assert [z.shape for z in model.split(model.codes(x))] == [(5, size) for size in latents]
    assert model.reconstruct(x).shape == model.sample(5, generator()).shape == (5, 6)
    assert torch.equal(model.sample(5, generator()), model.sample(5, generator()))


@pytest.mark.parametrize("inference", INFERENCE)
def test_the_posterior_as_a_whole_is_the_product_of_its_levels(inference):
    model, x = small((4, 3, 2), inference=inference), images()
    q = model.posterior(x)
    found = q.draw(6, generator())
    codes = q.sample(6, generator())
    torch.testing.assert_close(codes, torch.cat(found.z, -1))
    by_level = sum(level.log_prob(z) for level, z in zip(found.q, found.z, strict=True))
    torch.testing.assert_close(q.log_prob(codes), by_level)
    assert q.kl(model.prior) is None
    costs = sum(p.log_prob(z) for p, z in zip(found.p, found.z, strict=True))
    log_w = model.likelihood.log_prob(x, model.decoder(found.z[0])) + costs - by_level
    torch.testing.assert_close(model.log_weights(x, 6, generator(), q), log_w)


@pytest.mark.parametrize("inference", INFERENCE)
def test_one_level_is_a_vae(inference):
    model, x = small((3,), inference=inference), images()
    plain = new_model(VAEConfig(latent_dim=3, hidden=(8, 7), activation="silu"), (2, 3)).double()
    plain.encoder.body.load_state_dict(model.up[0].body.state_dict())
    plain.decoder.body.load_state_dict(model.decoder[0].state_dict())
    plain.decoder.outputs.load_state_dict(model.decoder[1].state_dict())
    with torch.no_grad():
        for part, layer in enumerate((plain.encoder.mean, plain.encoder.log_var)):
            layer.weight.copy_(model.up[0].outputs.weight.chunk(2)[part])
            layer.bias.copy_(model.up[0].outputs.bias.chunk(2)[part])
    for name, value in plain.terms(x, generator()).items():
        torch.testing.assert_close(model.terms(x, generator())[name], value)
    torch.testing.assert_close(model.log_weights(x, 3, generator()), plain.log_weights(x, 3, generator()))
    torch.testing.assert_close(model.sample(4, generator()), plain.sample(4, generator()))


def test_warm_up_and_free_bits_change_the_loss_and_no_other_figure():
    model, x = small(), images()
    losses = {
        name: model.losses(HierarchicalObjective(**settings))[0][1]
        for name, settings in {"plain": {}, "warm": {"warmup_epochs": 4}, "free": {"free_bits": 2.0}}.items()
    }
    plain, warm, free = (loss(x, 1.0, generator()) for loss in losses.values())
    torch.testing.assert_close(plain["loss"], -plain["elbo"])
    torch.testing.assert_close(warm["loss"], 0.25 * plain["kl"] - plain["reconstruction"])
    penalty = sum(plain[f"kl_{level}"].mean().clamp(min=2.0) for level in (1, 2))
    torch.testing.assert_close(free["loss"], penalty - plain["reconstruction"])
    for name in ("elbo", "reconstruction", "kl", "kl_1", "kl_2"):
        assert torch.equal(warm[name], plain[name]) and torch.equal(free[name], plain[name])
    assert HierarchicalObjective(warmup_epochs=3.5).settled_epochs == 4


def test_levels_are_decoded_with_fresh_or_with_equal_noise_below():
    model, z = linear("ladder"), torch.tensor([[1.0, 2.0], [-1.0, 0.5]])
    torch.testing.assert_close(model.decode_from(1, z), z @ W.T + C)
    apart = model.decode_from(2, z[:1], generator()) - model.decode_from(2, z[1:], generator())
    torch.testing.assert_close(apart[0], W @ (A * (z[0] - z[1])))  # the noise of level 1 is the same, and cancels
    spread = model.decode_from(2, z[:1].expand(100_000, 2), generator())
    torch.testing.assert_close(spread.T.cov(), W @ (TAU**2).diag() @ W.T, atol=0.02, rtol=0)


def test_batch_norm_takes_the_rows_of_all_draws_together():
    body, width = mlp(4, (3,), "identity", batch_norm=True)
    assert width == 3 and [type(layer).__name__ for layer in body] == ["Linear", "BatchNorm", "Identity"]
    h = body.double()(torch.randn(5, 6, 4, generator=generator()))
    torch.testing.assert_close(h.mean((0, 1)), torch.zeros(3))
    torch.testing.assert_close(h.var((0, 1), correction=0), torch.ones(3), atol=1e-3, rtol=0)
    one = torch.randn(1, 4, generator=generator())
    torch.testing.assert_close(body(one), body.eval()(one))  # in training, too, a single row is no batch


@pytest.mark.parametrize("inference", INFERENCE)
def test_training_raises_the_bound(inference):
    model = small(inference=inference, batch_norm=True)
    x = (torch.rand(200, 1, generator=generator()) > 0.5).expand(200, 6).to(torch.float64)
    config = TrainingConfig(epochs=8, learning_rate=0.02, batch_size=20, device="cpu")
    history = fit(model, model.losses(HierarchicalObjective(warmup_epochs=2)), x.float().double(), config)
    assert history["train_elbo"].iloc[-1] > -2.5 > 6 * math.log(0.5) + 1  # ln 2 is what a coin costs, if all agree
    assert history["train_elbo"].iloc[-1] < -math.log(2) + 0.05


# What is refused


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: HierarchicalConfig(latents=()), "latents=.* of HierarchicalConfig cannot be used.* at least 1"),
        (lambda: HierarchicalConfig(latents=(20, 0)), "latents.1=0 of HierarchicalConfig"),
        (lambda: HierarchicalConfig(inference="lader"), "did you mean 'ladder'"),
        (lambda: HierarchicalConfig(prior=VampConfig()), "prior.name='vamp' needs an encoder"),
        (lambda: HierarchicalConfig(latent_dim=3), "unknown setting of HierarchicalConfig 'latent_dim'"),
        (lambda: HierarchicalObjective(free_bits=-1), "free_bits=-1"),
        (lambda: new_model(HierarchicalConfig(hidden=(10**6, 10**6)), (28, 28)), "use smaller images"),
        (lambda: small().posterior(torch.zeros(2, 5)), r"expected torch.float64 \(images, 6\)"),
        (lambda: small().split(torch.zeros(2, 4)), r"expected \(..., 5\)"),
        (lambda: small().decode_from(3, torch.zeros(1, 2)), "level=3"),
        (lambda: small().decode_from(2, torch.zeros(1, 3)), r"their latents are \(3, 2\)"),
        (lambda: small().check(images() + 1), "pixels must lie in"),
        (lambda: with_prior(small(), Mixture([1.0], [[0.0] * 3], torch.eye(3)[None])), "3 dimensions does not fit"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(make, message):
    with pytest.raises(ValueError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


# The way of a run


@pytest.fixture
def single(float64):
    """Runs are made in single precision."""
    torch.set_default_dtype(torch.float32)


def config(**changes):
    model = HierarchicalConfig(latents=(6, 3), hidden=(24,), batch_norm=True)
    training = TrainingConfig(epochs=2, learning_rate=0.003, device="cpu")
    return amended(RunConfig(data=DataConfig(name="digits"), model=model, training=training), changes)


@pytest.mark.usefixtures("store", "single")
def test_a_run_records_every_level_and_is_loaded_again():
    run = train(config(**{"data.pixels": "dynamic", "objective.warmup_epochs": 1.0}))
    figures = {"elbo", "reconstruction", "kl", "kl_1", "kl_2"}
    assert {f"{part}_{name}" for part in ("train", "test") for name in figures} <= set(run.history)
    assert figures | {"squared_error", "active_units"} == set(run.metrics["test"])
    again = Store().load(run.path.name)
    assert run.path.name.startswith("digits-hierarchical-") and isinstance(again.model, HierarchicalVAE)
    for name, value in run.model.state_dict().items():
        assert torch.equal(value, again.model.state_dict()[name])


@pytest.mark.usefixtures("store", "single")
def test_of_grey_levels_a_run_has_bits_per_dimension_and_a_flow_may_be_its_top():
    gaussian = LikelihoodConfig(name="gaussian", sigma_value=0.2)
    run = train(config(**{"model.likelihood": gaussian, "model.prior": FlowConfig(transforms=1)}))
    x = torch.zeros(2, 64) + 0.5
    assert summary(run.model, x).keys() >= {"bits_per_dim", "kl_1", "kl_2"}
    twin = run.model.discretised()
    assert twin.config.likelihood.name == "discretised-gaussian" and run.model.config.likelihood == gaussian
    assert torch.equal(twin.codes(x), run.model.codes(x))


@pytest.mark.usefixtures("store", "single")
def test_it_is_swept_beside_a_vae():
    configs = grid(config(**{"training.epochs": 1}), **{"model.inference": list(INFERENCE)})
    result = sweep([*configs, config().replace(model={"family": "vae"}, objective={})], jobs=1)
    assert result.failures == {} and [run.config.model.family for run in result.runs][1:] == ["hierarchical", "vae"]
    assert result.table()["KL of level 2 (nats)"].isna().tolist() == [False, False, True]


@pytest.mark.usefixtures("store", "single")
def test_the_command_line_trains_and_evaluates_it(capsys):
    small = "--data.name digits --training.epochs 1 --training.device cpu --model.hidden 16 --model.latents 4 2"
    assert main(f"train {small} --model.family hierarchical --model.inference bottom-up".split()) == 0
    out = capsys.readouterr().out
    assert "digits-hierarchical-" in out and "KL of level 1 (nats)" in out and "KL of level 2 (nats)" in out
    (name,) = Store().names()
    assert Store().load(name).config.model.latents == (4, 2)
    assert main(f"evaluate {name} --samples 40 --images 5".split()) == 0
    assert "log p(x) of 5 test images" in capsys.readouterr().out
    with pytest.raises(ConfigError, match="family 'hierarchical': diagnosis examines a VAE"):
        diagnose(Store().load(name))
    assert main(["train", "--model.family", "hierarchical", "--model.latents", "0"]) != 0
    assert "latents.0=" in capsys.readouterr().err


def test_it_is_exported():
    import vaelib as vae

    assert vae.HierarchicalVAE is HierarchicalVAE and vae.HierarchicalConfig is HierarchicalConfig
