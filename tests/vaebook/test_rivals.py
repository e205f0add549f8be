"""What the tests of the rival explanations measure, on cases whose answer is known."""

import math

import numpy as np
import pytest
import torch

from vaebook.experiments import rivals
from vaebook.experiments.recipes import faces_recipe
from vaebook.experiments.rivals import bridge, cost_of_missing, lesson, unevenness
from vaebook.experiments.tongue import IN, stretches, tongue
from vaelib.config import ConfigError
from vaelib.data import DataConfig, load, prepare
from vaelib.runs import train


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VAELIB_RUNS", str(tmp_path_factory.mktemp("runs")))
        config = faces_recipe("modern", DataConfig(name="toyfaces", split="random"), latent_dim=3, epochs=2)
        yield train(config.replace(model=config.model.replace(hidden=(20,))), progress=False)


def test_the_cost_of_missing_is_a_divergence_of_coins():
    p, q = torch.tensor(0.04), torch.tensor(0.005)
    coins = [torch.distributions.Bernoulli(x) for x in (p, q)]
    assert cost_of_missing(0.04, 0.005) == pytest.approx(torch.distributions.kl_divergence(*coins).item(), rel=1e-5)
    assert cost_of_missing(0.3, 0.3) == 0.0


@pytest.mark.parametrize("power, expected", [(1.0, 1.0), (2.0, 1.975)])
def test_unevenness_is_one_on_an_even_path(power, expected):
    class Path:
        @staticmethod
        def mean_image(z):
            return z.pow(power).expand(*z.shape[:-1], 5)

    found = unevenness(Path, torch.zeros(2, 1), torch.ones(2, 1))  # the last step of z^2 is 1 - (39/40)^2
    assert found == pytest.approx([expected] * 2, rel=1e-4)


def test_a_torn_path_takes_one_step():
    class Torn:
        mean_image = staticmethod(lambda z: (z > 0.5).float())

    assert unevenness(Torn, torch.zeros(1, 1), torch.ones(1, 1)) == pytest.approx([40.0])


def test_the_toy_tongues_hang_together_by_their_transitions_alone():
    film = load("toyfaces")
    found = bridge(film)
    assert found.parts == 1 and found.parts_without == 2
    labels, x = tongue(film), film.matrix().astype(float)
    first, last = stretches(labels != IN)[0]
    outs = [i for i in range(first, last + 1) if labels[i] == 2]
    others = x[labels == IN]
    assert found.gaps[0] == pytest.approx(min(np.square(others - x[i]).sum(1).min() for i in outs))
    assert found.step == pytest.approx(np.median(np.square(np.diff(x, axis=0)).sum(1)))


def test_lessons_differ_in_the_frames_that_they_show(run, monkeypatch):
    film, train_frames = load("toyfaces"), prepare(run.config.data).split.train
    shows = (tongue(film) != IN)[train_frames].sum()
    first, last = stretches(tongue(film) != IN)[0]
    hidden = ((train_frames >= first) & (train_frames <= last)).sum()
    seen, fit = [], rivals.fit
    monkeypatch.setattr(rivals, "fit", lambda m, f, x, *a, **k: seen.append(len(x)) or fit(m, f, x, *a, **k))
    plain, more, less = lesson(run), lesson(run, times=3), lesson(run, without=0)
    assert seen == [len(train_frames) + 2 * shows, len(train_frames) - hidden]
    same = [torch.equal(a, b) for a, b in zip(plain.model.parameters(), run.model.parameters(), strict=True)]
    assert all(same) and not torch.equal(more.model.decoder.outputs.bias, less.model.decoder.outputs.bias)
    again = lesson(run, times=3)
    assert len(seen) == 2 and torch.equal(again.mixture.means, more.mixture.means)
    assert math.isfinite(less.mixture.log_prob(torch.zeros(1, 3)).item())


@pytest.mark.parametrize("wrong", [{"times": 0}, {"without": 3}, {"without": -1}])
def test_lessons_that_cannot_be_given_are_refused(run, wrong):
    with pytest.raises(ConfigError, match=r"times=\d, without=.*: expected 1 or more, and an episode from 0 to 2"):
        lesson(run, **wrong)
