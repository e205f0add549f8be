"""The experiments on collapse are the ones that their names say."""

import math

import pytest
import torch

from vaebook.experiments.collapse import (
    BIT,
    REMEDIES,
    cures,
    every_combination,
    gradient_signal,
    largest_awake,
    results,
    sigma_run,
    small,
    train_cells,
    with_sigma,
)
from vaebook.experiments.recipes import faces_recipe
from vaelib.config import ConfigError, amended
from vaelib.data import DataConfig
from vaelib.likelihoods import make_likelihood

DATA = DataConfig(name="toyfaces")


def test_every_combination_of_changes_is_there_once_with_every_seed():
    ill = small("modern", DATA, 3)
    factors = {"latents": {"20": {}, "5": {"model.latent_dim": 5}}, "units": {"200": {}, "50": {"model.hidden": (50,)}}}
    cells = every_combination(ill, factors, 2)
    assert len(cells) == len(set(cells.values())) == 8 and cells["20", "200", 0] == ill
    both = cells["5", "50", 1]
    assert (both.model.latent_dim, both.model.hidden, both.seed) == (5, (50,), 1)


def test_the_largest_awake_sigma_spends_one_bit():
    assert largest_awake([9.0, 0.1, 0.1], latent_dim=1) == pytest.approx(3 / 2)  # log(9 / sigma^2) / 2 = log 2
    two = largest_awake([4.0, 4.0, 0.1], latent_dim=2)
    assert two == pytest.approx(2 / 2**0.5) and 2 * 0.5 * math.log(4 / two**2) == pytest.approx(BIT)


def test_a_mean_over_pixels_is_a_beta():
    config = with_sigma(small("report", DATA, 3), "1, mean over pixels", 560)
    assert (config.objective.beta, config.model.likelihood.sigma_value) == (560, 1)
    plain = with_sigma(small("report", DATA, 3), "1", 560)
    assert plain.objective.beta == 1 and plain.model.likelihood == faces_recipe("report", DATA).model.likelihood
    with pytest.raises(ConfigError, match="unknown way to set sigma 'optimum': did you mean 'optimal'"):
        with_sigma(plain, "optimum", 560)


def test_a_sigma_for_each_pixel_starts_at_one_unless_told_otherwise():
    config = with_sigma(small("modern", DATA, 3), "per pixel", 560)
    assert (config.model.likelihood.sigma, config.model.likelihood.sigma_value) == ("per-pixel", 1)
    near = amended(config, {"model.likelihood.sigma_value": 0.3})
    outputs = torch.zeros(2 * 560)  # a decoder that says nothing yet
    for case, sigma in ((config, 1.0), (near, 0.3)):
        likelihood = make_likelihood(case.model.likelihood)
        assert torch.allclose(likelihood.sigma(outputs), torch.tensor(sigma), rtol=1e-3)


def test_each_remedy_changes_the_patient_alone():
    ill = with_sigma(small("modern", DATA, 8), "1", 560)
    treated = cures(ill, 2)
    assert len(treated) == 2 * len(REMEDIES) and treated["none", 0] == ill
    assert treated["KL warm-up", 1] == ill.replace(seed=1, objective=ill.objective.replace(warmup_epochs=4.0))


def test_the_sweep_of_sigma_has_no_sigmoid():
    config = sigma_run(DATA, 0.25, 3)
    assert (config.model.likelihood.mean, config.model.likelihood.sigma_value) == ("identity", 0.25)


def test_results_have_a_row_for_each_run(tmp_path, monkeypatch):
    monkeypatch.setenv("VAELIB_RUNS", str(tmp_path))
    sigmoid = {"yes": {"model.likelihood.mean": "sigmoid"}, "no": {"model.likelihood.mean": "identity"}}
    cells = every_combination(small("modern", DATA, 1, latent_dim=2), {"sigmoid": sigmoid}, 1)
    table = results(train_cells(cells, jobs=1), ["sigmoid", "seed"])
    assert table["sigmoid"].tolist() == ["yes", "no"] and table["seed"].tolist() == [0, 0]
    assert (table["directions"] <= 2).all() and (table["KL"] >= 0).all()


def test_the_signal_of_a_gradient_without_noise_is_unbounded_and_of_noise_alone_small():
    config = small("modern", DATA, 1)
    same = torch.full((500, 4), 0.9)
    clear = gradient_signal(config, same, (2, 2))  # only the draws of z differ
    noisy = gradient_signal(config, torch.rand(500, 4, generator=torch.Generator().manual_seed(0)), (2, 2))
    assert clear > 2 * noisy > 0 and math.isfinite(clear)
