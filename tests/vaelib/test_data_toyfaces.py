"""The toy faces: their factors are the truth about their pixels, and they behave like the film they stand in for."""

import platform
import sys

import numpy as np
import pytest

from vaelib import data
from vaelib.data import toyfaces


@pytest.fixture(scope="module")
def film():
    return data.load("toyfaces")


def test_as_many_frames_and_splits_as_frey(film):
    assert film.images.shape == (1965, 28, 20) and film.images.dtype == np.uint8
    assert film.stand_in_for == "frey" and film.labels is None
    assert [len(part) for part in film.split("time")] == [1565, 200, 200]
    assert list(film.factors) == ["pose", "light", "gaze", "smile", "tongue"]
    assert all(factor.shape == (1965,) for factor in film.factors.values())


def test_the_film_is_the_same_wherever_it_is_made(film):
    assert film.images.mean() == pytest.approx(117.247, abs=0.01)
    assert film.images.std() == pytest.approx(54.985, abs=0.01)
    if sys.platform == "linux" and platform.machine() == "x86_64":  # elsewhere, a pixel may round the other way
        assert film.sha256["images"] == "a079cb1f5a0fcaf6594b31a5c943d66996e1f9cd03036ec96cdf740b9a284861"


def test_a_seed_makes_one_film(film):
    np.testing.assert_array_equal(toyfaces.load(0).images, film.images)
    assert (toyfaces.load(1).images != film.images).mean() > 0.5


def test_the_factors_drew_the_frames(film):
    drawn = 255 * toyfaces.draw(**film.factors)
    camera = film.images - np.clip(drawn, 0, 255)
    assert abs(camera.mean()) < 0.02 and camera.std() == pytest.approx(2.0, abs=0.05)
    assert np.abs(camera).max() < 12


def test_factors_stay_in_range_and_move_smoothly(film):
    for name, pace in toyfaces.PACE.items():
        factor = film.factors[name]
        assert np.abs(factor).max() < 1 and factor.min() < -0.7 and factor.max() > 0.7, name
        assert np.abs(np.diff(factor)).max() < 4 / pace, name
    independent = np.corrcoef([film.factors[name] for name in toyfaces.PACE]) - np.eye(4)
    assert np.abs(independent).max() < 0.3


def test_neighbouring_frames_are_near_copies(film):
    frames = film.matrix()
    steps = ((frames[1:] - frames[:-1]) ** 2).sum(1)
    others = ((frames - frames[np.random.default_rng(0).permutation(1965)]) ** 2).sum(1)
    assert np.median(steps) < np.median(others) / 20


def test_the_tongue_is_out_in_three_short_runs_the_last_among_the_test_frames(film):
    tongue = film.factors["tongue"]
    out = tongue > 0.5
    starts, ends = (np.flatnonzero(np.diff(out.astype(int)) == step) + 1 for step in (1, -1))
    assert len(starts) == len(ends) == 3 and (ends - starts).max() < 30
    assert 0.03 < out.mean() < 0.04 and 0.03 < (tongue > 0).mean() < 0.04
    assert set(np.unique(tongue)) == {0, 0.25, 0.5, 0.75, 1}  # with frames of transition
    assert starts[-1] >= 1765 and ends[1] < 1565


def test_a_tongue_changes_the_picture_far_more_than_the_camera_does(film):
    out = film.factors["tongue"] == 1
    factors = {name: factor[out] for name, factor in film.factors.items()}
    put_away = toyfaces.draw(**{**factors, "tongue": 0.0})
    assert ((toyfaces.draw(**factors) - put_away) ** 2).sum((1, 2)).min() > 20 * 560 * (2 / 255) ** 2


@pytest.mark.parametrize(
    "factor, rows, columns",
    [
        ("gaze", slice(8, 14), slice(2, 18)),  # the eyes
        ("tongue", slice(16, 27), slice(4, 16)),  # the mouth and chin
    ],
)
def test_a_factor_changes_its_own_part_of_the_face_only(factor, rows, columns):
    rest = dict.fromkeys(("pose", "light", "gaze", "smile", "tongue"), 0.0)
    low, high = toyfaces.draw(**{**rest, factor: np.array([0.0, 0.9])})
    changed = np.abs(high - low) > 1e-9
    assert changed[rows, columns].any()
    changed[rows, columns] = False
    assert not changed.any()


def test_the_face_is_symmetrical_in_pose_light_and_gaze():
    factors = {"pose": 0.6, "light": -0.4, "gaze": 0.3, "smile": 0.5, "tongue": 0.0}
    mirrored = {name: -value if name in ("pose", "light", "gaze") else value for name, value in factors.items()}
    one, other = toyfaces.draw(**factors)[0], toyfaces.draw(**mirrored)[0]
    below_the_hair = slice(12, 28)  # which is parted on one side
    np.testing.assert_allclose(one[below_the_hair, 4:16], other[below_the_hair, ::-1][:, 4:16], atol=1e-9)


def test_light_comes_from_the_side_it_says():
    left, right = toyfaces.draw(0, np.array([-0.9, 0.9]), 0, 0, 0)
    assert left[:, 4:9].mean() > 1.2 * left[:, 11:16].mean()
    assert right[:, 11:16].mean() > 1.2 * right[:, 4:9].mean()
    assert left.min() >= 0 and left.max() <= 1


def test_many_frames_are_drawn_as_one_by_one():
    random = np.random.default_rng(0)
    factors = {name: random.uniform(-1, 1, 300) for name in toyfaces.PACE} | {"tongue": random.uniform(0, 1, 300)}
    together = toyfaces.draw(**factors)
    for index in (0, 127, 128, 299):
        alone = toyfaces.draw(**{name: factor[index] for name, factor in factors.items()})
        np.testing.assert_allclose(alone[0], together[index], atol=1e-12)
