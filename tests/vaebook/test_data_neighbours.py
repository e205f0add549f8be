"""Distances between images against the plain loop, and the search for templates on pictures made for it."""

import numpy as np
import pytest
import sklearn

from vaebook.experiments.pictures import best_match, nearest, nearest_in_film


@pytest.fixture(scope="module")
def frames():
    return np.random.default_rng(0).random((300, 12))


@pytest.fixture(autouse=True)
def small_blocks():
    with sklearn.config_context(working_memory=0.15):  # MiB: 65 rows of 300 distances
        yield


def test_the_nearest_row_is_that_of_a_plain_loop(frames):
    queries, references = frames[:170], frames[170:]
    expected = [min((np.sum((q - r) ** 2), row) for row, r in enumerate(references)) for q in queries]
    found = nearest(queries.astype(np.float32), references.astype(np.float32))
    assert found.row.tolist() == [row for _, row in expected]
    np.testing.assert_allclose(found.squared_distance, [distance for distance, _ in expected], rtol=1e-5)


def test_a_copy_is_at_distance_zero_exactly(frames):
    assert nearest(frames[:5], frames).squared_distance.tolist() == [0.0] * 5


@pytest.mark.parametrize("gap", [1, 2, 50])
def test_the_nearest_frame_of_a_film_keeps_its_gap(frames, gap):
    expected = [
        min(np.sum((a - b) ** 2) for j, b in enumerate(frames) if abs(i - j) >= gap) for i, a in enumerate(frames)
    ]
    np.testing.assert_allclose(nearest_in_film(frames, gap), expected)


@pytest.mark.parametrize("gap", [0, 151])
def test_a_gap_that_no_frame_can_keep_is_refused(frames, gap):
    with pytest.raises(ValueError, match="gap must be from 1 to half of the 300 frames"):
        nearest_in_film(frames, gap)


@pytest.mark.parametrize("rows", [np.zeros((0, 4)), np.zeros((2, 3, 4))])
def test_what_is_not_rows_of_pixels_is_refused(rows):
    with pytest.raises(ValueError, match="rows of pixels"):
        nearest(rows, np.zeros((1, 4)))


def test_a_template_is_found_where_it_was_moved_to_and_whatever_the_light():
    random = np.random.default_rng(1)
    picture = random.random((20, 16))
    template = picture[8:13, 5:11]
    brighter = 0.3 + 0.5 * picture
    images = np.stack([picture, np.roll(brighter, (2, -3), axis=(0, 1)), np.roll(picture, 4, axis=0), 1 - picture])
    found = best_match(images, template[None], corner=(8, 5), reach=(2, 3))
    np.testing.assert_allclose(found[:2, 0], 1)
    assert found.shape == (4, 1)
    assert found[2, 0] < 0.9 and found[3, 0] < 0.9  # moved too far; turned into its negative


def test_a_template_is_not_moved_out_of_the_image():
    images = np.random.default_rng(2).random((3, 4, 4))
    np.testing.assert_allclose(best_match(images, images, corner=(0, 0), reach=(9, 9)).diagonal(), 1)


def test_grey_walls_match_nothing_and_no_templates_are_no_columns():
    images = np.full((2, 5, 5), 0.5)
    assert best_match(images, images[:1, 1:3, 1:3], (1, 1), (1, 1)).tolist() == [[0.0], [0.0]]
    assert best_match(images, images[:0, 1:3, 1:3], (1, 1), (1, 1)).shape == (2, 0)
