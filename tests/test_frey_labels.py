"""The tongue labels: their counts, that they make sense as runs, and that the pictures bear them out."""

import numpy as np
import pytest

from vaelib import data
from vaelib.data import frey
from vaelib.data.neighbours import best_match
from vaelib.data.tongue import IN, OUT, TRANSITION, runs, tongue


@pytest.fixture(scope="module")
def labels():
    class Film:
        sha256, factors = frey.SOURCE.sha256, None

        def __len__(self):
            return sum(frey.SIZES)

    return tongue(Film())  # labels need no pixels


def test_runs_of_true_values():
    assert runs([0, 1, 1, 0, 1]) == [(1, 2), (4, 4)]
    assert runs([True]) == [(0, 0)]
    assert runs([]) == runs([False, False]) == []


def test_how_many_frames_are_labelled(labels):
    assert {label: int((labels == label).sum()) for label in (IN, TRANSITION, OUT)} == {
        IN: 1890,
        TRANSITION: 15,
        OUT: 60,
    }


def test_the_labels_are_the_published_ranges(labels):
    assert tuple(runs(labels == OUT)) == frey.TONGUE_OUT
    assert tuple(runs(labels == TRANSITION)) == frey.TONGUE_TRANSITION


def test_every_run_begins_and_ends_in_transition(labels):
    assert runs(labels != IN) == [(409, 440), (1087, 1103), (1764, 1789)]


def test_toy_faces_have_the_truth():
    film = data.load("toyfaces")
    shown = film.factors["tongue"]
    labels = tongue(film)
    assert np.array_equal(labels == OUT, shown == 1) and np.array_equal(labels == IN, shown == 0)
    assert len(runs(labels == OUT)) == 3 and len(runs(labels == TRANSITION)) == 6


def test_images_that_nobody_labelled_count_as_in(tmp_path):
    np.save(tmp_path / "frey.npy", np.zeros((5, 4, 4), np.uint8))
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
