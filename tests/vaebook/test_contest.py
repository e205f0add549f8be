"""The common judge on the toy film, whose tongues are known: frames, mixtures of known shares, and both cheats."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from torch.distributions import Normal

from vaebook.experiments import contest
from vaebook.experiments.contest import (
    Witnesses,
    bits_of,
    code_priors,
    components_mixture,
    contest_row,
    contest_table,
    copying_apart,
    corrected,
    digits_row,
    episodes,
    jittered_frames,
    mixed,
    model_row,
    moved,
    spelled,
    training_seconds,
    witnesses,
)
from vaebook.experiments.recipes import digits_recipe, faces_recipe
from vaebook.experiments.tongue import IN, stretches, tongue, tongue_detector
from vaelib.data import DataConfig, prepare
from vaelib.evaluation import summary
from vaelib.models.gan import GANConfig
from vaelib.models.vq import VectorsConfig, VQConfig
from vaelib.runs import RunConfig, train
from vaelib.training import TrainingConfig


@pytest.fixture(scope="module")
def prepared():
    return prepare(DataConfig(name="toyfaces", split="random"))


@pytest.fixture(scope="module")
def jittered(prepared):
    return contest_row("jittered frames", jittered_frames(prepared, 0.005), prepared, 0, drawn=2000)


def test_witnesses_judge_the_frames_themselves(prepared):
    frames, out = prepared.data.matrix(), tongue(prepared.data) != IN
    detected = tongue_detector(prepared.data)(frames)[out].mean()  # the other witness, the nearest frame, knows itself
    assert witnesses(prepared.data, frames) == Witnesses(detected, 1.0) and detected > 0.9
    blind = np.where(out[:, None], frames[~out][0], frames)  # a family that cannot draw tongues
    assert witnesses(prepared.data, blind) == Witnesses(0.0, 1.0)
    held_out = witnesses(prepared.data)
    assert 0.5 < held_out.sensitivity <= 1 and 0.99 < held_out.specificity <= 1
    with pytest.raises(ValueError, match="10 reconstructions: expected one for each of 1965 frames"):
        witnesses(prepared.data, frames[:10])


@pytest.mark.parametrize("truth", [0.0, 0.04, 1.0])
def test_a_correction_finds_the_share_that_was_misreported(truth):
    judged_by = Witnesses(0.9, 0.98)
    reported = truth * 0.9 + (1 - truth) * 0.02
    assert corrected(reported, judged_by) == pytest.approx(truth)
    assert corrected(0.0, judged_by) == 0.0  # never negative
    assert np.isnan(corrected(reported, Witnesses(0.0, 1.0)))


def test_episodes_are_counted_by_the_nearest_frame(prepared):
    film = prepared.data
    runs = stretches(tongue(film) != IN)
    pictures = np.concatenate([film.matrix([(first + last) // 2] * (2 + k)) for k, (first, last) in enumerate(runs)])
    assert episodes(pictures, film) == tuple(2 + k for k in range(len(runs)))
    assert episodes(film.matrix(np.flatnonzero(tongue(film) == IN)[:50]), film) == (0,) * len(runs)


def test_jittered_frames_cover_everything_and_are_copies(prepared, jittered):
    share = (tongue(prepared.data) != IN)[prepared.split.train].mean()
    assert jittered.tongue == pytest.approx(share, abs=0.015)
    assert jittered.corrected == pytest.approx(jittered.tongue, abs=0.01)
    assert jittered.coverage > 0.6 and jittered.copying > 0.8 and jittered.copying_apart > 0.95
    assert jittered.episodes_covered == len(jittered.episodes)
    assert sum(jittered.episodes) == pytest.approx(2000 * jittered.tongue)
    assert jittered.ms_a_sample > 0 and np.isnan(jittered.bits_per_dim)


def test_a_mixture_on_components_draws_the_film_without_copying(prepared, jittered):
    sample = components_mixture(prepared)
    found = contest_row("components", sample, prepared, 1.5, drawn=2000)
    assert found.coverage > 0.15 and found.copying < jittered.copying - 0.2
    again = sample(10, torch.Generator().manual_seed(0))
    assert np.array_equal(again, sample(10, torch.Generator().manual_seed(0)))
    assert again.min() >= 0 and again.max() <= 1
    table = contest_table([jittered, found])
    assert list(table.index) == ["jittered frames", "components"] and table.loc["components", "train (s)"] == "2"
    assert table.loc["components", "bits/dim"] == "none"


def test_cheats_have_densities(prepared):
    """One component is a Gaussian with the components' covariance and one variance elsewhere; noise is a mixture."""
    cheat, frames = components_mixture(prepared, 3, 1, narrowest=1e-6), prepared.test[:5]
    basis = cheat.pca.components_  # (3, D)
    inside = basis.T @ (cheat.mixture.covariances_[0] - cheat.sigma**2 * np.eye(3)) @ basis
    whole = multivariate_normal(cheat.pca.mean_, inside + cheat.sigma**2 * np.eye(basis.shape[1]))
    assert cheat.log_prob(frames) == pytest.approx(whole.logpdf(frames), rel=1e-6)
    assert 0 < bits_of(cheat, prepared) < 8
    noisy = jittered_frames(prepared, 0.3)
    each = Normal(torch.from_numpy(noisy.train), 0.3).log_prob(torch.from_numpy(frames)[:, None]).double().sum(-1)
    assert noisy.log_prob(frames) == pytest.approx((each.logsumexp(1) - np.log(len(noisy.train))).numpy(), rel=1e-5)
    assert bits_of(noisy, prepared) < 8 < bits_of(jittered_frames(prepared, 0.002), prepared)


def test_a_table_has_one_line_a_name_with_the_range_over_its_trainings(jittered):
    rows = [jittered._replace(coverage=value, episodes_covered=n) for value, n in ((0.25, 3), (0.75, 2))]
    line = contest_table([*rows, jittered._replace(name="other")]).loc["jittered frames"]
    assert line["coverage"] == "0.50 (0.25 to 0.75)" and line["episodes covered"] == "3, 2" and line["seeds"] == 2


def test_copying_across_time_compares_with_other_moments():
    """On a line where two visits to each place lie 1 apart: what lies within 1/2 is nearer, what lies 2 away is not."""
    at = np.arange(20)
    places = np.where(at < 10, 10.0 * at, 10.0 * (at - 10) + 1)[:, None]
    assert copying_apart(places + 0.3, places, at, gap=10) == 1.0
    assert copying_apart(places[:10] - 2.0, places, at, gap=10) == 0.0
    assert copying_apart(places[:10] - 1.0, places, at, gap=10) == 0.5  # as near as the other visit: ties
    beside = np.array([[0.0], [0.1], [5.0], [5.1]])  # neighbours in the film are no yardstick
    assert copying_apart(beside + 1, beside, np.array([0, 1, 10, 11]), gap=5) == 1.0
    with pytest.raises(ValueError, match="gap=99: a frame has no other so far away in a film of 20 frames"):
        copying_apart(places, places, at, gap=99)


def test_a_family_that_only_knows_one_episode(prepared):
    film = prepared.data
    first, last = stretches(tongue(film) != IN)[0]
    frames = np.concatenate([film.matrix(np.flatnonzero(tongue(film) == IN)), film.matrix(range(first, last + 1))])
    found = contest_row("one run", lambda n, g: np.resize(frames, (n, 560)), prepared, 0, drawn=1965)
    assert found.episodes_covered == 1 and found.episodes[0] > 0 == sum(found.episodes[1:])
    rare = np.concatenate([np.repeat(frames[:1], 1964, 0), film.matrix([(first + last) // 2])])
    once = contest_row("once", lambda n, g: rare, prepared, 0, drawn=1965)
    assert once.episodes[0] == 1 and once.episodes_covered == 0  # a quarter of its share would be seven


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A hasty VAE and a hasty VQ on the toy film, in a store of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VAELIB_RUNS", str(tmp_path_factory.mktemp("runs")))
        data = DataConfig(name="toyfaces", split="random")
        config = faces_recipe("modern", data, latent_dim=3, epochs=4)
        words = VQConfig(hidden=(40,), likelihood=config.model.likelihood, quantiser=VectorsConfig(groups=2, codes=8))
        yield [
            train(one, progress=False)
            for one in (
                config.replace(model=config.model.replace(hidden=(40,))),
                RunConfig(data=data, model=words, training=TrainingConfig(epochs=4)),
            )
        ]


def test_a_model_is_judged_like_any_sampler(prepared, runs):
    model = runs[0].model
    row = model_row("model", model, prepared, 3.0, drawn=1965)
    frames = model.reconstruct(torch.from_numpy(prepared.data.matrix()))
    same = contest_row("model", model.sample, prepared, 3.0, reconstructions=frames, drawn=1965)
    assert row._replace(ms_a_sample=0, bits_per_dim=0) == same._replace(ms_a_sample=0, bits_per_dim=0)
    assert row.bits_per_dim == summary(model, torch.from_numpy(prepared.test))["bits_per_dim"]
    game = train(RunConfig(data=runs[0].config.data, model=GANConfig(hidden=(8,)), training=TrainingConfig(epochs=1)))
    assert np.isnan(model_row("game", game.model, prepared, 1.0, drawn=1965).bits_per_dim)


def test_priors_on_codes_are_fitted_once_and_make_them_likelier(prepared, runs, monkeypatch):
    vae, words = runs
    test = torch.from_numpy(prepared.test)
    for run, fitted in ((vae, partial(mixed, components=4)), (words, spelled)):
        model, seconds = fitted(run)
        assert summary(model, test)["elbo"] > summary(run.model, test)["elbo"] and seconds > 0
    model, seconds = moved(vae, 3)  # epochs
    assert model.prior.latent_dim == 3 and seconds > 0
    monkeypatch.setattr(contest, "fit", None)  # so that a second fit would fail
    again, same_seconds = spelled(words)
    assert torch.equal(again.prior.last.bias, spelled(words)[0].prior.last.bias) and same_seconds > 0


def test_seconds_of_a_training_grow_with_its_epochs(prepared, runs, monkeypatch):
    clock = iter([0.0, 6.0])
    monkeypatch.setattr(contest.time, "process_time", lambda: next(clock))
    assert training_seconds(runs[0].config, prepared, epochs=2) == 6.0 * 4 / 2
    clock = iter([0.0, 6.0])
    passes = 4 * len(prepared.train) / 100  # over a hundred frames
    assert training_seconds(runs[0].config, prepared, epochs=2, images=100) == pytest.approx(6.0 * passes / 2)


def test_models_of_digits_are_judged_without_validation_images(tmp_path, monkeypatch):
    monkeypatch.setenv("VAELIB_RUNS", str(tmp_path))
    data = DataConfig(name="digits")
    parts = prepare(data)
    monkeypatch.setattr(contest, "data_of", lambda run: replace(parts, validation=parts.validation[:0]))
    usual = digits_recipe("modern", data, latent_dim=2, epochs=2)
    coder = train(usual.replace(model=usual.model.replace(hidden=(40,))), progress=False)
    priors = code_priors(coder, 300, 5, 3)
    assert list(priors) == ["mixture", "flow"] and all(seconds > 0 for _, seconds in priors.values())
    row = digits_row(priors["mixture"][0], parts, 2.0)
    assert row.nats == -summary(priors["mixture"][0], torch.from_numpy(parts.test))["elbo"]
    assert row.nats < digits_row(coder.model, parts, 2.0).nats and row.seconds_to_train == 2.0
    assert row.ms_a_sample > 0 and 0 <= row.judgement.class_gap <= 1
    words = VQConfig(hidden=(40,), quantiser=VectorsConfig(groups=2, codes=8))
    run = train(usual.replace(model=words, objective={}), progress=False)
    model, seconds = spelled(run, 3, 0.1)
    assert seconds > 0 and digits_row(model, parts, 1.0).nats < digits_row(run.model, parts, 1.0).nats
    game = train(usual.replace(model=GANConfig(hidden=(8,)), objective={}), progress=False)
    assert np.isnan(digits_row(game.model, parts, 1.0).nats)


def test_bad_samplers_are_refused(prepared):
    with pytest.raises(ValueError, match="drawn=10: expected at least 1965"):
        contest_row("few", jittered_frames(prepared), prepared, 0, drawn=10)
    for wrong in (np.zeros((2000, 3)), np.full((2000, 560), np.nan)):
        with pytest.raises(ValueError, match=r"odd drew .*: expected finite pictures \(2000, 560\)"):
            contest_row("odd", lambda n, g, wrong=wrong: wrong, prepared, 0, drawn=2000)
