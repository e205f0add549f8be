"""The common judge on the toy film, whose tongues are known: frames, mixtures of known shares, and both cheats."""

import numpy as np
import pytest
import torch

from vaebook.experiments.contest import (
    Witnesses,
    components_mixture,
    contest_row,
    contest_table,
    corrected,
    episodes,
    jittered_frames,
    witnesses,
)
from vaebook.experiments.tongue import IN, stretches, tongue, tongue_detector
from vaelib.data import DataConfig, prepare


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


def test_episodes_are_counted_by_the_run_of_the_nearest_frame(prepared):
    film = prepared.data
    runs = stretches(tongue(film) != IN)
    pictures = np.concatenate([film.matrix([(first + last) // 2] * (2 + k)) for k, (first, last) in enumerate(runs)])
    assert episodes(pictures, film) == tuple(2 + k for k in range(len(runs)))
    assert episodes(film.matrix(np.flatnonzero(tongue(film) == IN)[:50]), film) == (0,) * len(runs)


def test_jittered_frames_cover_everything_and_are_copies(prepared, jittered):
    share = (tongue(prepared.data) != IN)[prepared.split.train].mean()
    assert jittered.tongue.holds(share) and jittered.corrected == pytest.approx(jittered.tongue.value, abs=0.01)
    assert jittered.coverage > 0.6 and jittered.copying > 0.8
    assert jittered.runs_covered == len(jittered.episodes) == sum(count > 0 for count in jittered.episodes)
    assert sum(jittered.episodes) == pytest.approx(2000 * jittered.tongue.value)
    assert jittered.ms_a_sample > 0


def test_a_mixture_on_components_draws_the_film_without_copying(prepared, jittered):
    sample = components_mixture(prepared)
    found = contest_row("components", sample, prepared, 1.5, drawn=2000)
    assert found.coverage > 0.15 and found.copying < jittered.copying - 0.2
    again = sample(10, torch.Generator().manual_seed(0))
    assert np.array_equal(again, sample(10, torch.Generator().manual_seed(0)))
    assert again.min() >= 0 and again.max() <= 1
    table = contest_table([jittered, found])
    assert list(table.index) == ["jittered frames", "components"] and table.loc["components", "train (s)"] == "2"


def test_a_family_that_only_knows_one_episode(prepared):
    film = prepared.data
    first, last = stretches(tongue(film) != IN)[0]
    frames = np.concatenate([film.matrix(np.flatnonzero(tongue(film) == IN)), film.matrix(range(first, last + 1))])
    found = contest_row("one run", lambda n, g: np.resize(frames, (n, 560)), prepared, 0, drawn=1965)
    assert found.runs_covered == 1 and found.episodes[0] > 0 == sum(found.episodes[1:])


def test_bad_samplers_are_refused(prepared):
    with pytest.raises(ValueError, match="drawn=10: expected at least 1965"):
        contest_row("few", jittered_frames(prepared), prepared, 0, drawn=10)
    for wrong in (np.zeros((2000, 3)), np.full((2000, 560), np.nan)):
        with pytest.raises(ValueError, match=r"odd drew .*: expected finite pictures \(2000, 560\)"):
            contest_row("odd", lambda n, g, wrong=wrong: wrong, prepared, 0, drawn=2000)
