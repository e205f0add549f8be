"""The tongue labels: their counts, that they make sense as runs, and that the pictures bear them out."""

import numpy as np
import pytest

from vaebook.experiments.pictures import best_match
from vaebook.experiments.tongue import (
    DOUBTFUL,
    FIRST_READING,
    IN,
    OUT,
    SECOND_READING,
    TRANSITION,
    agreement,
    stretches,
    tongue,
)
from vaelib import data
from vaelib.data import FREY


@pytest.fixture(scope="module")
def labels():
    class Film:
        sha256, factors = FREY.sha256, None

    return tongue(Film())  # labels need no pixels


def test_stretches_of_true_values():
    assert stretches([0, 1, 1, 0, 1]) == [(1, 2), (4, 4)]
    assert stretches([True]) == [(0, 0)]
    assert stretches([]) == stretches([False, False]) == []


def test_how_many_frames_are_labelled(labels):
    assert {label: int((labels == label).sum()) for label in (IN, TRANSITION, OUT)} == {
        IN: 1890,
        TRANSITION: 15,
        OUT: 60,
    }


def test_the_labels_are_the_published_ranges(labels):
    for label in (OUT, TRANSITION):
        assert tuple(stretches(labels == label)) == FIRST_READING[label]


def test_every_run_begins_and_ends_in_transition(labels):
    assert stretches(labels != IN) == [(409, 440), (1087, 1103), (1764, 1789)]


def test_two_readings_agree_in_all_but_two_frames(labels):
    """1765 is out rather than in transition, 1786 in transition rather than out, by an independent second look."""
    second = labels.copy()
    second[[1765, 1786]] = OUT, TRANSITION
    for label in (OUT, TRANSITION):
        assert tuple(stretches(second == label)) == SECOND_READING[label]
    found = agreement()
    assert found.differing == (1765, 1786) and found.doubtful == DOUBTFUL == (409, 440, 1087, 1103, 1764, 1789)
    assert set(DOUBTFUL) <= {
        frame for stretch in stretches(labels != IN) for frame in stretch
    }  # where it begins or ends
    counts = np.array([1890, 15, 60])
    by_chance = (counts**2).sum() / 1965**2  # both readings have these counts
    assert found.kappa == pytest.approx((1963 / 1965 - by_chance) / (1 - by_chance))


def test_toy_faces_have_the_truth():
    film = data.load("toyfaces")
    shown = film.factors["tongue"]
    labels = tongue(film)
    assert np.array_equal(labels == OUT, shown == 1) and np.array_equal(labels == IN, shown == 0)
    assert len(stretches(labels == OUT)) == 3 and len(stretches(labels == TRANSITION)) == 6


def test_images_that_nobody_labelled_count_as_in(tmp_path):
    np.save(tmp_path / "frey.npy", np.full((5, 6, 6), 200, np.uint8))
    assert not tongue(data.load(tmp_path / "frey.npy")).any()
    assert not tongue(data.load("digits")).any()


def test_mouths_with_the_tongue_out_are_like_those_of_other_runs_and_like_no_other_mouth(real_data, labels):
    images = data.load("frey").images
    out = np.flatnonzero(labels == OUT)
    match = best_match(images, images[out][:, 17:26, 5:16], corner=(17, 5), reach=(2, 4))
    apart = np.abs(np.arange(len(images))[:, None] - out) > 50
    best = match.max(axis=1, where=apart, initial=-1)
    assert best[labels == OUT].min() > 0.85
    assert best[labels == IN].max() < 0.85
