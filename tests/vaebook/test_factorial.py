"""Planted effects must come back."""

import itertools

import numpy as np
import pandas as pd
import pytest

from vaebook.experiments.collapse import OTHER, SEEDS, explained
from vaelib.config import ConfigError


def experiment(effect, seeds=4, noise=0.0):
    random = np.random.default_rng(0)
    rows = [
        {"a": a, "b": b, "c": c, "y": effect(a, b, c) + noise * random.standard_normal()}
        for a, b, c in itertools.product((0, 1), (0, 1, 2), (0, 1))
        for _ in range(seeds)
    ]
    return pd.DataFrame(rows)


def test_a_factor_that_does_all_explains_all():
    shares = explained(experiment(lambda a, b, c: 3 * b), ["a", "b", "c"], "y")
    assert shares["b"] == pytest.approx(1) and shares.sum() == pytest.approx(1)
    assert list(shares.index) == ["a", "b", "c", "a × b", "a × c", "b × c", OTHER, SEEDS]


def test_effects_that_add_up_share_the_variance():
    shares = explained(experiment(lambda a, b, c: 2 * a + c), ["a", "b", "c"], "y")  # variances 1 and 1/4
    assert shares["a"] == pytest.approx(0.8) and shares["c"] == pytest.approx(0.2)


def test_interactions_are_told_from_main_effects():
    pair = explained(experiment(lambda a, b, c: (2 * a - 1) * (2 * c - 1)), ["a", "b", "c"], "y")
    assert pair["a × c"] == pytest.approx(1)
    triple = explained(experiment(lambda a, b, c: (2 * a - 1) * (2 * c - 1) * (b - 1)), ["a", "b", "c"], "y")
    assert triple[OTHER] == pytest.approx(1)


def test_what_seeds_do_is_told_from_all_else():
    shares = explained(experiment(lambda a, b, c: a, seeds=200, noise=0.5), ["a", "b", "c"], "y")  # 1/4 and 1/4
    assert shares["a"] == pytest.approx(0.5, abs=0.03) and shares[SEEDS] == pytest.approx(0.5, abs=0.03)


def test_an_experiment_that_is_not_full_is_refused():
    table = experiment(lambda a, b, c: a)
    with pytest.raises(ValueError, match=r"11 of 12 combinations of a, b, c have 4 to 4 runs: shares need a full"):
        explained(table[4:], ["a", "b", "c"], "y")
    with pytest.raises(ValueError, match="have 3 to 4 runs"):
        explained(table[1:], ["a", "b", "c"], "y")


def test_a_response_that_never_varies_is_refused():
    with pytest.raises(ValueError, match="'y' is the same in all runs"):
        explained(experiment(lambda a, b, c: 1.0), ["a"], "y")


def test_an_unknown_column_is_named():
    with pytest.raises(ConfigError, match="unknown column 'd'"):
        explained(experiment(lambda a, b, c: a), ["a", "d"], "y")
