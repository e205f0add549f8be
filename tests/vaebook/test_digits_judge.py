"""The judge of digits against known truth: Gaussians, polynomials, the data themselves."""

import numpy as np
import pytest
import torch

from vaebook.experiments import digits_judge
from vaebook.experiments.digits_judge import (
    digits_floor,
    digits_table,
    frechet_distance,
    judge_digits,
    kernel_distance,
    reader_of,
)
from vaelib.data import DataConfig, DataError, prepare
from vaelib.runs import Store


@pytest.fixture(scope="module")
def digits():
    return prepare(DataConfig(name="digits"))


@pytest.fixture(scope="module", autouse=True)
def _store(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("VAELIB_RUNS", str(tmp_path_factory.mktemp("store")))
        yield


def exactly(mean, covariance, rows=400):
    """Rows whose mean and covariance are just these."""
    x = np.random.default_rng(0).normal(size=(rows, len(mean)))
    x = (x - x.mean(0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(x.T))).T
    return x @ np.linalg.cholesky(covariance).T + mean


def test_the_frechet_distance_of_two_gaussians():
    variances, others = np.array([1.0, 4.0, 9.0]), np.array([4.0, 4.0, 1.0])
    a, b = exactly([0, 0, 0], np.diag(variances)), exactly([1, 2, 0], np.diag(others))
    expected = 5 + np.square(np.sqrt(variances) - np.sqrt(others)).sum()  # commuting covariances
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-6)
    turned = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    assert frechet_distance(a @ turned, b @ turned) == pytest.approx(expected, rel=1e-6)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-6)


def test_the_frechet_distance_of_covariances_that_do_not_commute():
    from scipy.linalg import sqrtm

    s, t = np.array([[2.0, 1.0], [1.0, 3.0]]), np.array([[1.0, -0.5], [-0.5, 2.0]])
    expected = np.trace(s + t - 2 * sqrtm(s @ t).real)
    assert frechet_distance(exactly([0, 0], s), exactly([0, 0], t)) == pytest.approx(expected, rel=1e-6)


def test_the_kernel_distance_is_that_of_three_moments():
    """In one dimension (xy + 1)^3 compares means, squares and cubes: 3 (m - m')^2 + 3 (s - s')^2 + (c - c')^2."""
    chance = np.random.default_rng(0)
    a, b = chance.uniform(0, 1, (40_000, 1)), chance.uniform(0, 2, (40_000, 1))
    moments = [np.array([1 / 2, 1 / 3, 1 / 4]), np.array([2 / 2, 4 / 3, 8 / 4])]
    expected = (np.array([3, 3, 1]) * np.square(moments[0] - moments[1])).sum()
    value, error = kernel_distance(a, b)
    assert abs(value - expected) < 4 * error and error < 0.05 * expected


def test_the_kernel_distance_has_no_bias_though_blocks_are_small():
    chance = np.random.default_rng(0)
    same = np.array([kernel_distance(*chance.normal(size=(2, 20, 4)), block=20)[0] for _ in range(2000)])
    assert abs(same.mean()) < 4 * same.std() / np.sqrt(len(same)) and (same < 0).mean() > 0.2


def test_its_standard_error_is_the_spread_of_repetitions():
    chance = np.random.default_rng(1)
    found = np.array([kernel_distance(*chance.normal(size=(2, 400, 4)), block=40) for _ in range(300)])
    assert np.sqrt(np.square(found[:, 1]).mean()) == pytest.approx(found[:, 0].std(), rel=0.15)
    assert np.isnan(kernel_distance(*chance.normal(size=(2, 30, 4)))[1])


def test_the_reader_reads_digits_and_is_kept(digits, monkeypatch):
    reader = reader_of(digits)
    read = reader.read(torch.from_numpy(digits.test))[1]
    assert reader.accuracy.item() == pytest.approx((read == digits.data.labels[digits.split.test]).mean())
    assert reader.accuracy > 0.95
    assert len(list((Store().folder / ".memo").glob("digits-reader-*"))) == 1
    monkeypatch.setattr(digits_judge, "_trained", None)  # who trained again would fail
    assert all(torch.equal(a, b) for a, b in zip(reader.parameters(), reader_of(digits).parameters(), strict=True))


def test_the_test_images_themselves_are_perfect(digits):
    found = judge_digits(digits.test, digits)
    assert found.coverage == 1 and found.density == pytest.approx(1) and found.class_gap == 0
    assert found.frechet == pytest.approx(0, abs=1e-4) and found.kid < 0.05
    assert sum(found.classes) == pytest.approx(1) and len(found.classes) == 10


def test_new_images_are_near_the_floor_and_noise_is_far(digits):
    floor, again = digits_floor(digits), digits_floor(digits, seed=1)
    noise = judge_digits(np.random.default_rng(0).uniform(size=digits.test.shape), digits)
    ones = judge_digits(digits.train[digits.data.labels[digits.split.train] == 1], digits)
    assert floor.coverage > 0.9 and floor != again
    assert floor.frechet < 0.2 * min(ones.frechet, noise.frechet) and floor.kid < 0.2 * min(ones.kid, noise.kid)
    assert floor.class_gap < 0.15 and ones.class_gap > 0.8 and noise.coverage < 0.2
    table = digits_table({"floor": [floor, again], "noise": [noise]})
    assert list(table["seeds"]) == [2, 1] and " to " in table.loc["floor", "Fréchet"]


def test_what_cannot_be_judged_is_refused(digits):
    with pytest.raises(ValueError, match=r"pictures are \(3, 5\): expected \(M, 64\), two or more"):
        judge_digits(np.zeros((3, 5)), digits)
    with pytest.raises(DataError, match="the data set 'toyfaces' has no labels: nobody can learn to read it"):
        reader_of(prepare(DataConfig(name="toyfaces")))
