"""Probabilistic PCA equals scikit-learn's; a linear VAE trained without sampling ends where theory says."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from vaebook.experiments.linear import ppca, ppca_log_evidence, ppca_posterior, train_linear
from vaelib.linear import predict
from vaelib.posteriors import gaussian_log_prob

VALUES = [4.0, 1.0, 0.25, 0.04]


@pytest.mark.parametrize(("sigma", "beta"), [(0.15, 1.0), (0.4, 1.0), (0.15, 20.0), (3.0, 1.0)])
def test_exact_training_ends_where_theory_says(sigma, beta):
    theory = predict(VALUES, 3, sigma, beta)
    model = train_linear(VALUES, 3, sigma, beta)
    assert model.directions(VALUES) == theory.active
    kl = model.kl_per_dim(VALUES).sort(descending=True).values
    np.testing.assert_allclose(kl, theory.kl_per_dim, atol=1e-3)


def test_probabilistic_pca_is_scikit_learns_and_bayes_rule_holds_at_any_z():
    generator = torch.Generator().manual_seed(0)
    mixing = torch.randn(6, 6, generator=generator, dtype=torch.float64)
    x = torch.randn(50, 6, generator=generator, dtype=torch.float64) @ mixing
    weights, bias, sigma2 = ppca(x, 3)
    evidence = ppca_log_evidence(x, weights, bias, sigma2)
    theirs = PCA(3, svd_solver="full").fit(x.numpy()).score_samples(x.numpy())
    np.testing.assert_allclose(evidence, theirs, rtol=1e-9)
    mean, variance = ppca_posterior(x, weights, bias, sigma2)
    z = torch.randn(50, 3, generator=generator, dtype=torch.float64)
    joint = gaussian_log_prob(x, z @ weights.T + bias, sigma2.log()) + gaussian_log_prob(z, *torch.zeros(2, 3))
    torch.testing.assert_close(joint - gaussian_log_prob(z, mean, variance.log()), evidence, rtol=1e-6, atol=1e-6)
