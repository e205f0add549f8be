"""Discrete codes: bounds against enumeration of all codes, quantisers and priors against what is known of them."""

import itertools
import math
import re

import pytest
import torch

from vaelib.cli import main
from vaelib.config import ConfigError, amended, grid
from vaelib.data import DataConfig
from vaelib.evaluation import log_likelihood, summary
from vaelib.models import (
    VQ,
    Categorical,
    CategoricalConfig,
    CategoricalObjective,
    RoundedConfig,
    VectorsConfig,
    VQConfig,
    new_model,
)
from vaelib.models.code_priors import AutoregressiveCodes, AutoregressiveCodesConfig, UniformCodes, UnigramCodes
from vaelib.models.vq import NearestVectors, RoundedNumbers, straight_through
from vaelib.objectives import importance_weighted_bound
from vaelib.posteriors import DiagonalGaussian
from vaelib.priors import StandardNormal, with_prior
from vaelib.runs import RunConfig, Store, train
from vaelib.sweeps import sweep
from vaelib.training import TrainingConfig, fit

pytestmark = pytest.mark.usefixtures("store")

SMALL = {"hidden": (6,), "activation": "tanh"}
QUANTISERS = {"vq": VectorsConfig(groups=2, codes=3, code_dim=2), "fsq": RoundedConfig(levels=(2, 4))}
FAMILIES = {
    "vq": VQConfig(quantiser=QUANTISERS["vq"], **SMALL),
    "fsq": VQConfig(quantiser=QUANTISERS["fsq"], **SMALL),
    "categorical": CategoricalConfig(groups=2, codes=3, **SMALL),
}
each_family = pytest.mark.parametrize("settings", FAMILIES.values(), ids=FAMILIES.keys())


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def every(entries):
    """All codes, (number of codes, G)."""
    return torch.tensor(list(itertools.product(*map(range, entries))))


X = every((2,) * 4).float()  # all images of four binary pixels


def scrambled(prior, seed=0):
    """The prior with random weights, so that it is far from uniform."""
    with torch.no_grad():
        for weight in prior.parameters():
            weight.copy_(torch.randn(weight.shape, generator=seeded(seed)))
    return prior.eval()


def priors(entries):
    return UniformCodes(entries), scrambled(UnigramCodes(entries)), scrambled(AutoregressiveCodes(entries, (7, 5)))


def evidence(model, x):
    """log p(x) = log sum over all codes of p(z) p(x|z), (B,)."""
    z = every(model.prior.entries)
    log_p_x_given_z = model.likelihood.log_prob(x[:, None], model.decode(model.vectors(z)))  # (B, codes)
    return torch.logsumexp(log_p_x_given_z + model.prior.log_prob(z), -1).detach()


# The bound


@each_family
def test_the_elbo_is_a_bound_under_every_prior(settings):
    plain = new_model(settings, (2, 2))
    for prior in priors(plain.prior.entries):
        model = with_prior(plain, prior)
        terms = model.terms(X, seeded())
        torch.testing.assert_close(terms["elbo"], terms["reconstruction"] - terms["kl"])
        draws = torch.stack([model.terms(X, seeded(i))["elbo"] for i in range(200)]).mean(0)
        assert (draws <= evidence(model, X) + 0.02).all()
        assert evidence(model, X).logsumexp(0).item() == pytest.approx(0, abs=1e-4)  # all images there are


@pytest.mark.parametrize("name", ["vq", "fsq"])
def test_a_deterministic_code_costs_its_reconstruction_and_its_rate(name):
    model = new_model(FAMILIES[name], (2, 2))
    model = with_prior(model, scrambled(AutoregressiveCodes(model.prior.entries)))
    z = model.indices(X)
    one_by_one = model.likelihood.log_prob(X, model.decode(model.vectors(z))) + model.prior.log_prob(z)
    torch.testing.assert_close(model.terms(X)["elbo"], one_by_one)
    torch.testing.assert_close(model.log_weights(X, 3), one_by_one.expand(3, -1))
    assert (one_by_one < evidence(model, X)).all()
    found = log_likelihood(model, X, 50)
    torch.testing.assert_close(found.value, one_by_one.detach())
    assert found.kind == "bound that no draws tighten"


def test_importance_sampling_reaches_the_evidence_of_a_categorical_vae():
    model = new_model(FAMILIES["categorical"], (2, 2))
    for prior in priors(model.prior.entries):
        model = with_prior(model, prior)
        estimate = log_likelihood(model, X, 4000, seeded())
        torch.testing.assert_close(estimate.value, evidence(model, X), atol=0.05, rtol=0)
        assert (importance_weighted_bound(model, X, 50, seeded()) > model.terms(X, seeded())["elbo"] - 1).all()


def test_the_kl_of_a_categorical_posterior_is_that_of_enumeration():
    model = new_model(FAMILIES["categorical"], (2, 2))
    z = every(model.prior.entries)
    for prior in priors(model.prior.entries):
        q = with_prior(model, prior).posterior(X)
        log_q = torch.stack([q.log_prob(code.expand(len(X), -1)) for code in z], -1)  # (B, codes)
        exact = (log_q.exp() * (log_q - prior.log_prob(z))).sum(-1)
        along = torch.stack([q.kl_along(prior, prior.one_hot(code.expand(len(X), -1))) for code in z], -1)
        torch.testing.assert_close((log_q.exp() * along).sum(-1), exact)
        if not isinstance(prior, AutoregressiveCodes):
            torch.testing.assert_close(along[:, 0], exact)


def test_relaxed_draws_are_no_bound_and_hard_ones_are():
    """Two white pixels of which each code allows one: only a relaxed draw, half of either, explains both."""
    model = new_model(CategoricalConfig(groups=1, codes=2, hidden=()), (2,))
    with torch.no_grad():
        model.encoder[-1].weight.zero_()
        model.encoder[-1].bias.zero_()
        model.decoder[-1].bias.zero_()
        model.decoder[-1].weight.copy_(torch.tensor([[10.0, -10.0], [-10.0, 10.0]]))
    x = torch.ones(1, 2)
    exact = evidence(model, x).item()
    assert exact == pytest.approx(-10, abs=1e-3)
    relaxed = torch.cat([model.relaxed_terms(x, 10.0, seeded(i))["elbo"] for i in range(100)]).mean().item()
    hard = torch.cat([model.terms(x, seeded(i))["elbo"] for i in range(100)]).mean().item()
    assert hard <= exact + 1e-3 < relaxed - 5
    (_, loss) = model.losses(CategoricalObjective(temperature=10, final_temperature=10))[0]
    assert loss(x, 0, seeded())["loss"].item() < -exact - 5 and "elbo" not in loss(x, 0, seeded())
    assert model.eval() and loss(x, 0, seeded())["elbo"].item() <= exact + 1e-3


# Quantisers


def test_straight_through_has_the_gradient_of_the_identity():
    z = torch.randn(3, 4, generator=seeded(), requires_grad=True)
    torch.testing.assert_close(straight_through(z, z.detach().round()), z.round())
    quantiser = NearestVectors(QUANTISERS["vq"])
    jacobian = torch.autograd.functional.jacobian(lambda z: quantiser(z).vectors, z)
    torch.testing.assert_close(jacobian.reshape(12, 12), torch.eye(12))
    rounded = torch.autograd.functional.jacobian(lambda z: RoundedNumbers(RoundedConfig(levels=(3,) * 4))(z).vectors, z)
    torch.testing.assert_close(rounded.reshape(12, 12), torch.diag(1 - torch.tanh(z).square().flatten()))


def test_the_nearest_vector_is_taken_and_what_lies_between_is_the_penalty():
    quantiser, z = NearestVectors(VectorsConfig(groups=2, codes=5, code_dim=3)), torch.randn(7, 6, generator=seeded())
    found = quantiser(z)
    distances = torch.cdist(z.view(7, 2, 3).transpose(0, 1), quantiser.codebook)  # (G, B, K)
    torch.testing.assert_close(found.indices, distances.argmin(-1).T)
    torch.testing.assert_close(found.vectors, quantiser.vectors(found.indices))
    torch.testing.assert_close(found.penalty, 0.25 * distances.amin(-1).square().sum(0))


def test_the_running_average_is_the_papers_computed_by_hand():
    quantiser = NearestVectors(VectorsConfig(groups=1, codes=2, code_dim=1, decay=0.9, revive=0))
    quantiser.codebook.copy_(torch.tensor([[[0.0], [10.0]]]))
    batches = [torch.tensor([[1.0], [2.0], [3.0], [9.0]]), torch.tensor([[-1.0], [1.0], [1.0], [1.0]])]
    n, m = torch.tensor([0.5, 0.5]), torch.tensor([0.0, 5.0])  # N and m of appendix A.1, as shares of a batch
    for z, count, total in zip(batches, ([3, 1], [4, 0]), ([6, 9], [2, 0]), strict=True):
        quantiser.learn(z, quantiser(z).indices, seeded())
        n = 0.9 * n + 0.1 * torch.tensor(count) / 4
        m = 0.9 * m + 0.1 * torch.tensor(total) / 4
        torch.testing.assert_close(quantiser.use, n)
        torch.testing.assert_close(quantiser.codebook[0, :, 0], m / n)


def test_a_vector_that_nothing_is_near_stays_where_it_is_for_ever():
    """Counts that start or end at zero would move it to nan, or to the origin."""
    quantiser = NearestVectors(VectorsConfig(groups=1, codes=2, code_dim=1, decay=0.5, revive=0))
    quantiser.codebook.copy_(torch.tensor([[[0.0], [10.0]]]))
    z = torch.zeros(4, 1)
    for _ in range(300):
        quantiser.learn(z, quantiser(z).indices, seeded())
    torch.testing.assert_close(quantiser.codebook.flatten(), torch.tensor([0.0, 10.0]))
    assert quantiser.perplexity().item() == pytest.approx(1)


def test_the_dead_are_revived_at_the_encoders_outputs():
    z = torch.tensor([[0.0], [1.0], [2.0], [3.0]])
    for revive, alive in ((0.5, 2), (0.0, 1)):
        quantiser = NearestVectors(VectorsConfig(groups=1, codes=2, code_dim=1, decay=0.5, revive=revive))
        quantiser.codebook.copy_(torch.tensor([[[1.5], [99.0]]]))
        for i in range(10):
            quantiser.learn(z, quantiser(z).indices, seeded(i))
        assert len(quantiser(z).indices.unique()) == alive
        assert (quantiser.codebook[0, 1] == 99) == (revive == 0)


def test_perplexity_counts_what_is_in_use():
    quantiser = RoundedNumbers(RoundedConfig(levels=(2, 4)))
    torch.testing.assert_close(quantiser.perplexity(), torch.tensor([2.0, 4.0]))
    quantiser.use.copy_(torch.tensor([1.0, 0, 0.25, 0.25, 0.5, 0]))
    torch.testing.assert_close(quantiser.perplexity(), torch.tensor([1.0, math.exp(1.5 * math.log(2))]))


@pytest.mark.parametrize("levels", [(2,), (3, 5), (2, 3, 4), (8, 8)])
def test_rounded_codes_are_in_range_and_one_to_one_with_their_vectors(levels):
    quantiser, codes = RoundedNumbers(RoundedConfig(levels=levels)), every(levels)
    vectors = quantiser.vectors(codes)
    assert len(vectors.unique(dim=0)) == math.prod(levels) and vectors.abs().max() == 1
    torch.testing.assert_close(quantiser(torch.atanh(vectors.clamp(-0.9999, 0.9999))).indices, codes)
    wild = quantiser(100 * torch.randn(500, len(levels), generator=seeded())).indices
    assert wild.min() == 0 and (wild.amax(0) == torch.tensor(levels) - 1).all()


@each_family
def test_training_starts_from_the_data(settings):
    x = torch.rand(200, 4, generator=seeded()) * torch.tensor([0.2, 0.4, 0.6, 0.8])
    model = new_model(settings, (2, 2))
    model.start(x)
    outputs = model.encode(x)
    torch.testing.assert_close(outputs.mean(0), torch.zeros_like(outputs[0]), atol=1e-4, rtol=0)
    torch.testing.assert_close(outputs.std(0, correction=0), torch.full_like(outputs[0], model.spread))
    torch.testing.assert_close(torch.sigmoid(model.decoder[-1].bias), x.mean(0))
    if settings is FAMILIES["vq"]:  # each vector is the mean of what is nearest to it
        z, indices = outputs.detach(), model.indices(x)
        near = [z[indices[:, 0] == k, :2].mean(0) for k in range(3)]
        torch.testing.assert_close(model.quantiser.codebook[0], torch.stack(near), atol=0.02, rtol=0)


def test_random_vectors_know_nothing_of_the_data():
    model = new_model(FAMILIES["vq"].replace(quantiser=QUANTISERS["vq"].replace(init="random")), (2, 2))
    outputs, codebook = model.encoder(X - X.mean(0)), model.quantiser.codebook.clone()
    model.start(X)
    assert torch.equal(model.encode(X), outputs) and torch.equal(model.quantiser.codebook, codebook)
    torch.testing.assert_close(torch.sigmoid(model.decoder[-1].bias), X.mean(0))


# Priors over codes

ENTRIES = (2, 3, 4)


@pytest.mark.parametrize("prior", priors(ENTRIES), ids=["uniform", "unigram", "autoregressive"])
def test_a_prior_is_normalised_and_draws_what_it_says(prior):
    z = every(ENTRIES)
    p = prior.log_prob(z).exp().detach()
    assert p.sum().item() == pytest.approx(1, abs=1e-5)
    drawn = prior.sample(20_000, seeded())
    share = torch.stack([(drawn == code).all(-1).float().mean() for code in z])
    torch.testing.assert_close(share, p, atol=0.015, rtol=0)
    assert drawn.dtype == torch.int64 and torch.equal(drawn, prior.sample(20_000, seeded()))


def test_a_masked_network_is_autoregressive():
    """What is said of a symbol depends on all symbols before it, on none behind, and not on itself."""
    entries = (2, 3, 2, 4)
    prior = scrambled(AutoregressiveCodes(entries, (24, 24)))
    soft = torch.rand(sum(entries), generator=seeded())
    jacobian = torch.autograd.functional.jacobian(prior.conditionals, soft).abs()
    symbol = torch.repeat_interleave(torch.arange(4), torch.tensor(entries))
    before = symbol[None] < symbol[:, None]
    assert (jacobian[~before] == 0).all()
    blocks = [[jacobian[symbol == g][:, symbol == h].sum() > 0 for h in range(4)] for g in range(4)]
    assert torch.tensor(blocks).tolist() == torch.ones(4, 4).tril(-1).bool().tolist()


def test_training_of_an_autoregressive_prior_starts_at_the_unigram_and_goes_beyond():
    first = torch.randint(3, (900, 1), generator=seeded())
    codes = torch.cat([first, first, torch.randint(2, (900, 1), generator=seeded(1))], 1)  # the second copies the first
    unigram, prior = UnigramCodes((3, 3, 2)), AutoregressiveCodes((3, 3, 2), dropout=0.1)
    unigram.start(codes)
    prior.start(codes)
    counts = torch.bincount(codes[:, 0], minlength=3) + 1.0
    torch.testing.assert_close(unigram.conditionals(torch.zeros(8))[:3].exp(), counts / counts.sum())
    torch.testing.assert_close(prior.log_prob(codes), unigram.log_prob(codes))
    held_out = {"validation": codes[600:].float()}
    settings = TrainingConfig(epochs=30, learning_rate=0.01, patience=5, device="cpu")
    history = fit(prior, prior.loss, codes[:600].float(), settings, held_out=held_out, progress=False)
    gained = (prior.log_prob(codes[600:]) - unigram.log_prob(codes[600:])).mean().item()
    assert gained == pytest.approx(math.log(3), abs=0.1)
    assert history["validation_loss"].min() == pytest.approx(-prior.log_prob(codes[600:]).mean().item(), abs=1e-4)


def test_a_prior_learned_with_the_model_gains_and_moves_no_code(digits):
    quantiser = VectorsConfig(groups=4, codes=8, code_dim=2)
    uniform = VQConfig(hidden=(32,), quantiser=quantiser)
    learned = uniform.replace(prior=AutoregressiveCodesConfig(hidden=(16,)))
    models = [new_model(settings, (8, 8)) for settings in (uniform, learned)]
    settings = TrainingConfig(epochs=6, learning_rate=0.01, device="cpu")
    for model in models:
        model.start(digits)
        fit(model, model.losses(model.Objective()), digits, settings, progress=False)
    plain, better = (summary(model, digits) for model in models)
    assert torch.equal(models[0].indices(digits), models[1].indices(digits))
    assert plain["kl"] == pytest.approx(4 * math.log(8), rel=1e-5) and better["kl"] < plain["kl"] - 0.3
    assert plain["reconstruction"] == better["reconstruction"]


def test_priors_that_do_not_fit_are_refused(digits):
    model = new_model(FAMILIES["vq"], (2, 2))
    for prior in (StandardNormal(2), UniformCodes((3, 4))):
        with pytest.raises(ValueError, match=r"^a prior over .* does not fit a model whose codes are \(3, 3\)$"):
            with_prior(model, prior)
    with pytest.raises(ValueError, match="a prior over 3 dimensions does not fit a model that has 2"):
        with_prior(model, UniformCodes((3, 3, 3)))
    for z in (torch.tensor([[0, 3]]), torch.tensor([[-1, 0]]), torch.tensor([[0]])):
        with pytest.raises(ValueError, match=r"^codes \(1, .\) do not fit: expected \(\.\.\., 2\) of \(3, 3\)$"):
            model.prior.log_prob(z)
    with pytest.raises(ConfigError, match=r"^entries=\(\): expected how many values each symbol has"):
        UniformCodes(())


# As families among others


@pytest.fixture(scope="module")
def digits():
    from vaelib.data import prepare

    return torch.from_numpy(prepare(DataConfig(name="digits")).train)


def config(family, **changes):
    training = TrainingConfig(epochs=2, learning_rate=3e-3, device="cpu")
    small = RunConfig(data=DataConfig(name="digits"), model={"family": family, "hidden": (32,)}, training=training)
    return amended(small, changes)


CASES = {
    "vq": config("vq", **{"model.quantiser.groups": 4, "model.quantiser.codes": 8}),
    "fsq": config("vq", **{"model.quantiser.name": "fsq", "model.quantiser.levels": (3, 4, 5)}),
    "categorical": config("categorical", **{"model.groups": 4, "model.codes": 8}),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_it_is_trained_stored_and_loaded_with_its_buffers(case, digits):
    run = train(case)
    again = Store().load(run.path.name)
    assert isinstance(again.model, (VQ, Categorical)) and again.config == run.config and again.metrics == run.metrics
    for name, value in run.model.state_dict().items():
        assert torch.equal(value, again.model.state_dict()[name])
    assert summary(again.model, digits) == run.metrics["train"]
    assert run.metrics["test"]["elbo"] == pytest.approx(
        run.metrics["test"]["reconstruction"] - run.metrics["test"]["kl"], abs=1e-4
    )
    assert run.history["validation_elbo"].iloc[-1] > run.history["validation_elbo"].iloc[0]
    assert run.model.sample(3, seeded()).shape == run.model.reconstruct(digits[:3]).shape == (3, 64)
    assert torch.equal(run.model.sample(3, seeded()), again.model.sample(3, seeded()))
    if "quantiser.use" in run.model.state_dict():
        symbols = math.prod(run.model.quantiser.entries)
        assert 1 < run.history["train_perplexity"].iloc[-1] <= symbols and "quantiser.use" in again.model.state_dict()


def test_grey_levels_are_counted_in_bits():
    settings = {"model.likelihood": {"name": "gaussian"}, "training.epochs": 1}
    run = train(amended(CASES["vq"], settings))
    assert run.metrics["test"]["bits_per_dim"] > 0 and run.model.discretised().config.likelihood.name.endswith(
        "gaussian"
    )


def test_it_is_swept_beside_a_vae():
    configs = [one.replace(training=TrainingConfig(epochs=1, device="cpu")) for one in CASES.values()]
    configs += grid(configs[0], **{"model.prior.name": ["unigram", "autoregressive"]})
    configs += [RunConfig(data=DataConfig(name="digits"), training=configs[0].training)]
    result = sweep(configs, jobs=1)
    assert result.failures == {}, result.report()
    table = result.table()
    assert list(table["model.family"]) == ["vq", "vq", "categorical", "vq", "vq", "vae"]
    assert table[["−ELBO (nats)", "KL (nats)"]].notna().all(axis=None)


def test_the_command_line_trains_and_shows_it(capsys):
    line = "train --data.name digits --training.epochs 1 --training.device cpu --model.family vq --model.hidden 16"
    assert main([*line.split(), "--model.quantiser.name", "fsq", "--model.quantiser.levels", "4", "4"]) == 0
    assert "−ELBO (nats)" in capsys.readouterr().out
    (name,) = Store().names()
    assert Store().load(name).config.model.quantiser == RoundedConfig(levels=(4, 4))
    assert main(line.replace("vq", "categorical").split()) == 0
    assert re.search(r"digits +categorical ", (main(["runs", "list"]), capsys.readouterr().out)[1])


REFUSED = {
    "levels": (
        lambda: RoundedConfig(levels=(5, 1)),
        r"levels=\(5, 1\): expected one number or more, each rounded to 2",
    ),
    "no-levels": (lambda: RoundedConfig(levels=()), r"levels=\(\): expected one number or more, each rounded to 2"),
    "groups": (lambda: VectorsConfig(groups=0), r"groups=0 of VectorsConfig cannot be used: .*greater than 0"),
    "commitment": (lambda: VectorsConfig(commitment=0), r"commitment=0 of VectorsConfig .*greater than 0"),
    "codes": (lambda: VectorsConfig(codes=1), r"codes=1 of VectorsConfig cannot be used: .*greater than or equal to 2"),
    "quantiser": (lambda: VQConfig(quantiser={"name": "fqs"}), r"did you mean 'fsq'\?"),
    "prior": (lambda: VQConfig(prior={"name": "unigrm"}), r"did you mean 'unigram'\?"),
    "heating": (lambda: CategoricalObjective(final_temperature=2), r"^final_temperature=2\.0 lies above temperature=1"),
}


@pytest.mark.parametrize("make, message", REFUSED.values(), ids=REFUSED.keys())
def test_settings_that_cannot_work_are_refused_in_one_line(make, message):
    with pytest.raises(ConfigError, match=message) as caught:
        make()
    assert len(str(caught.value).splitlines()) == 1


def test_more_vectors_than_images_are_refused_before_training():
    many = amended(CASES["vq"], {"model.quantiser.codes": 5000})
    with pytest.raises(ConfigError, match=r"^quantiser\.codes=5000: \d+ training images cannot fill so many"):
        train(many)
    assert list(Store().names()) == []


def test_the_temperature_cools_by_the_same_factor_and_no_epoch_before_it_has_settled_is_best():
    objective = CategoricalObjective(temperature=1, final_temperature=0.25, anneal_epochs=4)
    assert [objective.at(epoch) for epoch in (0, 2, 4, 9)] == pytest.approx([1, 0.5, 0.25, 0.25])
    assert objective.settled_epochs == 4 and CategoricalObjective(anneal_epochs=0).at(0) == 0.5


def test_relaxed_draws_are_gumbel_softmax():
    """The largest block entry is a draw from q, whatever the temperature; a cold draw is nearly one-hot."""
    model = new_model(FAMILIES["categorical"], (2, 2))
    q = model.posterior(X[5:6].expand(20_000, -1))
    drawn = q.relaxed(0.5, seeded())
    torch.testing.assert_close(drawn.split(model.prior.entries, -1)[0].sum(-1), torch.ones(20_000))
    winners = torch.nn.functional.one_hot(drawn[:, :3].argmax(-1), 3).float().mean(0)
    torch.testing.assert_close(winners, q.log_q[0, :3].exp().detach(), atol=0.015, rtol=0)
    assert q.relaxed(0.01, seeded())[:, :3].amax(-1).median() > 0.99
    assert q.relaxed(0.5, seeded()).requires_grad and q.kl(DiagonalGaussian) is None
