"""Measures of samples, on samples whose worth is planted; and repairs of priors whose fault is planted."""

import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from vaebook.experiments import sampling
from vaebook.experiments.pictures import copying, coverage, gif, nearest, proportion, walk
from vaebook.experiments.recipes import faces_recipe
from vaebook.experiments.sampling import (
    COMPONENTS,
    FLOW,
    GAP,
    REPAIRS,
    Memo,
    bits_of_runs,
    fit_prior,
    judge,
    judge_runs,
    judgement_table,
    mismatch,
    mixture_of,
    remembered,
    repaired,
)
from vaebook.experiments.tongue import IN, tongue, tongue_detector, tongues
from vaelib.config import ConfigError
from vaelib.data import DataConfig, DataError, ImageData, load, prepare
from vaelib.evaluation import aggregate_posterior, log_likelihood
from vaelib.likelihoods import Gaussian, LikelihoodConfig
from vaelib.models import VAE, VAEConfig
from vaelib.objectives import elbo
from vaelib.priors import Flow, Mixture, StandardNormal, Tempered, fit_mixture, with_prior
from vaelib.runs import train
from vaelib.training import TrainingConfig


def normal(n, seed, shift=0.0):
    return np.random.default_rng(seed).standard_normal((n, 3)) + shift


def test_samples_of_the_same_distribution_cover_as_the_theory_says():
    covered, density = coverage(normal(2000, 0), normal(2000, 1), k=5)
    assert covered.mean() == pytest.approx(1 - 2**-5, abs=0.015)  # Naeem et al. 2020, section 3.2
    assert density.mean() == pytest.approx(1, abs=0.05)


def test_a_mode_that_samples_miss_is_not_covered():
    real = np.concatenate([normal(900, 0), normal(100, 1, shift=20)])
    covered, density = coverage(real, normal(1000, 2))
    assert covered[:900].mean() > 0.9 and not covered[900:].any()
    assert density[:900].mean() == pytest.approx(10 / 9, abs=0.1) and not density[900:].any()


def test_covered_means_nearer_than_the_kth_neighbour():
    line = np.arange(10.0)[:, None]
    covered, density = coverage(line, [[2.4]], k=2)  # 1 to 8 reach 1 far, the ends 2
    assert covered.nonzero()[0].tolist() == [2, 3]
    assert density[2] == pytest.approx(10 / (2 * 1))


@pytest.mark.parametrize("k", [1, 5])
def test_real_images_judged_as_samples_have_a_density_of_exactly_one(k):
    """They tie with each radius: the k-th neighbour must not count as inside by the rounding of another formula."""
    real = np.random.default_rng(3).random((300, 40)).astype(np.float32)
    covered, density = coverage(real, real, k)
    assert covered.all() and (density == 1).all()
    order = np.random.default_rng(4).permutation(300)
    assert (coverage(real, np.concatenate([real[order], real]), k).density == 1).all()


@pytest.mark.parametrize("k", [0, 10])
def test_coverage_needs_neighbours(k):
    with pytest.raises(ValueError, match=f"k={k}: expected a number from 1 to 9"):
        coverage(normal(10, 0), normal(5, 1), k=k)


def test_copies_are_told_from_new_samples():
    train, held_out = normal(500, 0), normal(500, 1)
    assert copying(normal(500, 2), train, held_out) == pytest.approx(0.5, abs=0.06)
    assert copying(train + 1e-3, train, held_out) > 0.99
    assert copying(normal(500, 2, shift=10), train, held_out) < 0.01
    assert copying(held_out, train, held_out) == pytest.approx(0.5)


def test_a_share_has_wilsons_interval():
    value, low, high = proportion([True] * 75 + [False] * 1890)
    z, n, p = 1.959964, 1965, 75 / 1965
    centre, half = p + z**2 / (2 * n), z * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    assert value == pytest.approx(p)
    assert (low, high) == pytest.approx(((centre - half) / (1 + z**2 / n), (centre + half) / (1 + z**2 / n)), rel=1e-5)
    assert proportion([False] * 100).low == 0 and proportion([False] * 100).high > 0.03
    assert proportion([True, False]).holds(0.5) and not proportion([True] * 100).holds(0.9)
    with pytest.raises(ValueError, match="a share of no cases"):
        proportion([])


def test_the_detector_finds_the_toy_tongue():
    film = load("toyfaces")
    detector = tongue_detector(film)
    assert detector.frames == len(film) and detector.shown == (tongue(film) != IN).sum()
    assert detector.missed <= 12 and detector.false_alarms <= 2
    assert (detector(film.matrix()) == (tongue(film) != IN)).mean() > 0.99


def test_the_detector_hardly_errs_on_frey(real_data):
    detector = tongue_detector(load("frey"))
    assert detector.shown == 75 and detector.missed + detector.false_alarms <= 5


def test_a_tongue_needs_two_witnesses():
    film = load("toyfaces")
    frames, shown = film.matrix(), tongue(film) != IN
    assert (tongues(frames, film) == shown).mean() > 0.99
    detector = tongue_detector(film)
    no_face = detector.weights / np.abs(detector.weights).max() + 0.5  # what the detector likes best
    assert detector(no_face[None]).all()
    far = shown[nearest(no_face[None], frames).row]
    assert tongues(no_face[None], film).tolist() == far.tolist()
    hybrid = 0.45 * frames[shown][:1] + 0.55 * frames[~shown][:1]  # nearer to a frame without, whatever is seen in it
    assert not tongues(hybrid, film).any()


def test_images_without_a_known_tongue_have_no_detector():
    plain = ImageData("plain", np.zeros((10, 4, 4), np.uint8), load("digits").plans and {})
    with pytest.raises(ConfigError, match="no image of 'plain' is known to show a tongue"):
        tongue_detector(plain)


# The planted fault: a linear VAE whose codes lie in two narrow clumps at -3 and 3, where N(0, I) has almost nothing.
LINEAR = VAEConfig(
    latent_dim=1,
    hidden=(),
    activation="identity",
    likelihood=LikelihoodConfig(name="gaussian", mean="identity", sigma="fixed", sigma_value=0.1),
)


class OfAnyNumbers(Gaussian):
    """A Gaussian whose pixels may lie anywhere."""

    def check(self, x):
        pass


CLUMPS = Mixture([0.9, 0.1], [[-3.0], [3.0]], [[[0.1]], [[0.1]]])


@pytest.fixture
def linear():
    """x = z + 0.1 epsilon; q(z|x) is nearly exact, as the likelihood is much narrower than any prior."""
    model = VAE(LINEAR, (1,), likelihood=OfAnyNumbers(LINEAR.likelihood))
    for parameter in model.parameters():
        parameter.data.zero_()
    model.decoder.outputs.weight.data.fill_(1)
    model.encoder.mean.weight.data.fill_(1)
    model.encoder.log_var.bias.data.fill_(2 * np.log(0.1))
    return model


def images(n, seed):
    generator = torch.Generator().manual_seed(seed)
    return CLUMPS.sample(n, generator) + 0.1 * torch.randn(n, 1, generator=generator)


def test_draws_of_the_aggregate_posterior(linear):
    x = images(1000, 0)
    z = aggregate_posterior(linear, x, draws=3)
    assert z.shape == (3000, 1)
    assert (z - x.repeat(3, 1)).std().item() == pytest.approx(0.1, rel=0.05)


def test_a_mixture_repairs_the_planted_prior(linear):
    train, held_out, test = (images(n, n) for n in (800, 400, 300))
    codes = aggregate_posterior(linear, train, 2), aggregate_posterior(linear, held_out)
    fit = fit_mixture(*codes, components=(1, 2, 4), narrowest=0.01)
    assert fit.scores[2] > fit.scores[1] + 0.5
    repaired = with_prior(linear, fit.prior)
    assert isinstance(linear.prior, StandardNormal)  # a copy was repaired
    drawn = repaired.sample(4000, torch.Generator().manual_seed(0))
    assert (drawn > 0).float().mean().item() == pytest.approx(0.1, abs=0.04)
    assert (drawn.abs() < 2).float().mean().item() < 0.01

    generator = torch.Generator().manual_seed(0)
    bound = elbo(repaired, test, kl="monte-carlo", samples=50, generator=generator).elbo.mean().item()
    before = elbo(linear, test, samples=50, generator=generator).elbo.mean().item()
    likelihood = log_likelihood(repaired, test, 500, generator).mean()[0]
    wide = [[[0.2]]] * 2  # variances: 0.02 of the images, 0.01 of q(z|x) in the codes, 0.01 of p(x|z)
    truth = Mixture([0.9, 0.1], [[-3.0], [3.0]], wide).log_prob(test).mean().item()
    assert bound > before + 2
    assert bound <= likelihood + 0.01 and likelihood == pytest.approx(truth, abs=0.02)


def test_a_flow_is_fitted_to_the_codes(linear):
    train, held_out = images(800, 0), images(400, 1)
    torch.manual_seed(0)
    config = TrainingConfig(epochs=15, batch_size=100, learning_rate=1e-2, patience=5, device="cpu")
    prior = fit_prior(Flow(1, transforms=1, width=16), linear, train, held_out, config)
    z = aggregate_posterior(linear, held_out)
    assert prior.log_prob(z).mean() > StandardNormal(1).log_prob(z).mean() + 3


def test_a_prior_of_another_size_does_not_fit(linear):
    with pytest.raises(ValueError, match="a prior over 2 dimensions does not fit a model that has 1"):
        with_prior(linear, Tempered(2, 0.5))


def test_the_mismatch_of_planted_clumps(linear):
    x = images(400, 0)
    kl, information, marginal_kl = mismatch(linear, x)
    assert kl == pytest.approx(elbo(linear, x).kl.mean().item(), abs=0.1)
    assert kl == pytest.approx(information + marginal_kl, abs=1e-3)
    assert 0 < information < np.log(400)
    wide = Mixture([0.9, 0.1], [[-3.0], [3.0]], [[[0.03**0.5]]] * 2)  # what q(z) was drawn from
    repaired_kl = mismatch(with_prior(linear, wide), x)
    assert repaired_kl.marginal_kl == pytest.approx(0, abs=0.05) and marginal_kl > 3
    assert repaired_kl.information == pytest.approx(information)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A hasty run on the toy film, in a store of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VAELIB_RUNS", str(tmp_path_factory.mktemp("runs")))
        config = faces_recipe("modern", DataConfig(name="toyfaces", split="random"), latent_dim=3, epochs=8)
        model = config.model.replace(hidden=(60,))
        yield train(config.replace(model=model), progress=False)


def judged(run, repair="none"):
    (found,) = judge_runs([(run, repair)])
    return found


def bits(run, repair="none", samples=1000, refine=0):
    (found,) = bits_of_runs([(run, repair, refine)], samples)
    return found


def test_a_run_is_judged_once(run, monkeypatch):
    first = judged(run)
    assert 0 <= first.tongue < 0.2 and 0 <= first.coverage < 1 and 0 < first.variety < 2
    with monkeypatch.context() as patch:
        patch.setattr("vaebook.experiments.sampling.judge", None)  # so that a second judgement would fail
        assert judged(run) == first


def test_what_was_found_is_kept_without_pickle_and_made_anew_when_damaged(run, tmp_path, monkeypatch):
    monkeypatch.setenv("VAELIB_RUNS", str(tmp_path))
    first, mixture = judged(run, "mixture"), mixture_of(run)
    files = [file for file in tmp_path.rglob("*") if file.is_file() and file.suffix != ".lock"]
    assert {file.name for file in files} == {"figures.json", "tensors.safetensors", "manifest.json"}
    for file in files:
        file.write_bytes(file.read_bytes()[:-9])
    with pytest.warns(UserWarning, match="made anew"):
        assert judged(run, "mixture") == first
    again = mixture_of(run)
    assert again.components == mixture.components and again.scores == mixture.scores
    for name, tensor in mixture.prior.state_dict().items():
        assert torch.equal(again.prior.state_dict()[name], tensor)


def test_real_frames_judge_as_perfect_but_for_copying(run):
    prepared = prepare(run.config.data)
    found = judge(prepared.data.matrix(), prepared)
    assert found.coverage == found.coverage_on_tongue == found.coverage_on_test == 1
    assert found.tongue == pytest.approx(74 / 1965, abs=0.005)
    assert found.variety == pytest.approx(1)
    assert found.density == 1  # itself and four others lie within its radius; the fifth lies on it
    assert found.distance == 0 < found.distance_to_test  # most frames are no test frames
    assert found.copying > 0.75


def test_frames_that_chose_the_prior_count_as_seen(run):
    prepared = prepare(run.config.data)
    found = judge(prepared.validation, prepared)
    assert found.distance == 0 < found.distance_to_test and found.copying > 0.99


def test_every_repair_of_a_run(run, monkeypatch):
    monkeypatch.setattr("vaebook.experiments.sampling.FLOW", FLOW.replace(epochs=20))
    z = {repair: repaired(run, repair).prior.sample(2000, torch.Generator().manual_seed(0)) for repair in REPAIRS}
    assert z["narrow"].std().item() == pytest.approx(0.7, abs=0.03)
    assert z["wide"].std().item() == pytest.approx(2, abs=0.07)
    codes = aggregate_posterior(run.model, torch.from_numpy(prepare(run.config.data).train))
    for repair in ("mixture", "flow"):
        assert repaired(run, repair).prior.log_prob(codes).mean() > run.model.prior.log_prob(codes).mean()
    torch.testing.assert_close(z["mixture"].std(0), codes.std(0), rtol=0.15, atol=0.1)
    assert mixture_of(run).components in COMPONENTS


def test_an_unknown_repair_is_named(run):
    with pytest.raises(ConfigError, match="unknown repair 'mixtures': did you mean 'mixture'"):
        judged(run, "mixtures")


def test_repairs_need_validation_images(run, monkeypatch):
    none = replace(prepare(run.config.data), validation=np.zeros((0, 560), np.float32))
    monkeypatch.setattr("vaebook.experiments.sampling.data_of", lambda _: none)
    with pytest.raises(ValueError, match="this split of toyfaces has no validation images to choose a prior by"):
        mixture_of(run, (3,))


def test_a_prior_by_time_is_chosen_some_frames_after_those_that_it_was_fitted_to(run):
    by_time = replace(run, config=run.config.replace(data=DataConfig(name="toyfaces", split="time")))
    parts = prepare(by_time.config.data)
    train, held_out = sampling._seen(by_time)
    assert torch.equal(train, torch.from_numpy(parts.train))
    assert torch.equal(held_out, torch.from_numpy(parts.data.matrix()[len(train) + GAP :][: len(held_out)]))
    assert len(held_out) == len(parts.validation) - GAP
    assert len(sampling._seen(run)[1]) == len(parts.validation)  # at random neighbours are everywhere


def test_several_fits_make_one_larger_mixture(run):
    one, three = (repaired(run, 2, fits=fits).prior for fits in (1, 3))
    assert len(one.log_weights) == 2 and len(three.log_weights) == 6


def test_other_data_under_the_same_name_are_refused(run):
    other = replace(run, environment=run.environment | {"data": {"images": "0" * 64}}, path=run.path.with_name("other"))
    for ask in (judged, bits, mixture_of):
        with pytest.raises(DataError, match="'toyfaces'"):
            ask(other)


def test_a_memo_is_known_by_run_arguments_and_versions_alone(run, tmp_path, monkeypatch):
    monkeypatch.setenv("VAELIB_RUNS", str(tmp_path))
    asked = []

    def find(run, *arguments):
        asked.append(arguments)
        return Memo({"count": len(asked)}, {"zeros": torch.zeros(2)})

    count = remembered(version=1)(find)
    assert [count(run, 1).figures["count"], count(run, 2).figures["count"], count(run, 1).figures["count"]] == [1, 2, 1]
    assert torch.equal(count(run, 2).tensors["zeros"], torch.zeros(2)) and asked == [(1,), (2,)]
    renamed = replace(run, path=run.path.with_name("another-run"))
    assert count(renamed, 1).figures["count"] == 3
    assert remembered(version=1)(find)(run, 1).figures["count"] == 1  # code elsewhere may change as it likes
    assert remembered(version=2)(find)(run, 1).figures["count"] == 4
    reader, later = (remembered(1, reads=[remembered(version)(find)])(find) for version in (1, 2))
    assert reader(run, 1).figures["count"] == 5 and later(run, 1).figures["count"] == 6


def test_the_versions_of_what_is_kept():
    """Raise one when a figure changes that it stands for; what others `read` counts for them, too."""
    kept = {name: value.versions for name, value in vars(sampling).items() if isinstance(value, sampling.Remembered)}
    assert kept == {"_mixture": "3", "_flow": "2", "_judgement": "2-3-2", "_bits": "1-3-2"}


def test_judgements_of_a_group_are_tabled(run):
    table = judgement_table({"as trained": ([run], "none"), "wide": ([run], "wide")}, ("tongue", "variety"))
    assert list(table.index) == ["as trained", "wide"] and list(table) == ["tongue out (%)", "variety", "seeds"]
    assert float(table.loc["wide", "variety"]) == pytest.approx(judged(run, "wide").variety, abs=0.005)
    assert table.loc["as trained", "tongue out (%)"] == f"{100 * judged(run).tongue:.2f}"


def test_the_cores_share_what_nobody_has_judged(run, monkeypatch):
    pairs = [(run, 2), (run, "narrow")]
    with monkeypatch.context() as patch:
        patch.setattr("joblib.cpu_count", lambda: 2)
        patch.setattr("vaebook.experiments.sampling.judge", None)  # this process cannot judge: others must
        found = judge_runs(pairs)
    assert found == [judged(run, 2), judged(run, "narrow")]
    assert found[0].variety > 0 and found[0] != found[1]


def test_the_cores_share_the_bits_of_models(run, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("joblib.cpu_count", lambda: 2)
        patch.setattr("vaebook.experiments.sampling.log_likelihood", None)  # this process cannot estimate: others must
        found = bits_of_runs([(run, "none", 0), (run, "narrow", 0)], samples=20)
    assert found == [bits(run, "none", 20), bits(run, "narrow", 20)]
    assert found[0].nll < found[0].bound and found[0] != found[1]


def test_an_error_of_a_worker_is_raised(run):
    with pytest.raises(ConfigError, match="components=5000: expected a number from 1 to"):
        judge_runs([(run, 5000), (run, 6000)])


def test_bits_of_the_grey_levels(run):
    found = bits(run, samples=100)
    assert found.nll < found.bound and 0 < found.error < 0.1 and 1 <= found.effective_samples <= 100
    assert found.bound == pytest.approx(run.metrics["test"]["bits_per_dim"], abs=0.05)
    better = bits(run, samples=100, refine=30)
    assert better.bound < found.bound and better.nll < better.bound
    assert better.effective_samples > found.effective_samples
    bernoulli = run.config.replace(
        model=run.config.model.replace(likelihood=LikelihoodConfig()), training=run.config.training.replace(epochs=1)
    )
    with pytest.raises(ConfigError, match="likelihood 'Bernoulli' cannot be discretised"):
        bits(train(bernoulli, progress=False), samples=10)


def test_a_walk_stops_at_its_stations():
    stations = torch.tensor([[0.0, 0.0], [1.0, 2.0], [3.0, 0.0]])
    codes = walk(stations, 4, pause=1)
    assert codes.shape == (2 * 5 + 1, 2)
    assert torch.equal(codes[[0, 5, 10]], stations) and torch.equal(codes[1], stations[0])
    torch.testing.assert_close(codes[3], stations[:2].mean(0))  # half-way
    ring = walk(stations, 4, closed=True)
    assert len(ring) == 12
    torch.testing.assert_close(ring[10], (stations[2] + stations[0]) / 2)


@pytest.mark.parametrize(("stations", "steps"), [(1, 5), (3, 0)])
def test_a_walk_needs_somewhere_to_go(stations, steps):
    with pytest.raises(ValueError, match=f"not {stations} and {steps}"):
        walk(torch.zeros(stations, 2), steps)


def test_a_gif_shows_every_sheet():
    sheets = [np.full((3, 5), grey) for grey in (0.0, 0.5, 1.0)]
    sheets[0][0, 0] = np.nan
    picture = Image.open(io.BytesIO(gif(sheets, milliseconds=50)))
    assert picture.n_frames == 3 and picture.size == (5, 3) and picture.info["duration"] == 50
    shown = np.asarray(picture.convert("L"))
    assert shown[0, 0] == 255 and shown[1, 1] == 0
    picture.seek(1)
    assert abs(int(np.asarray(picture.convert("L"))[1, 1]) - 128) < 6


def test_a_mixture_comes_back_from_its_state_to_the_bit():
    generator = torch.Generator().manual_seed(0)
    codes = torch.randn(200, 2, generator=generator)
    mixture = fit_mixture(codes, codes, (3,)).prior
    assert torch.equal(sampling.restored(mixture.state_dict()).log_prob(codes), mixture.log_prob(codes))
