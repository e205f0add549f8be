"""A linear VAE trained without sampling ends where theory says."""

import numpy as np
import pytest

from vaebook.experiments.linear import train_linear
from vaelib.linear import predict

VALUES = [4.0, 1.0, 0.25, 0.04]


@pytest.mark.parametrize(("sigma", "beta"), [(0.15, 1.0), (0.4, 1.0), (0.15, 20.0), (3.0, 1.0)])
def test_exact_training_ends_where_theory_says(sigma, beta):
    theory = predict(VALUES, 3, sigma, beta)
    model = train_linear(VALUES, 3, sigma, beta)
    assert model.directions(VALUES) == theory.active
    kl = model.kl_per_dim(VALUES).sort(descending=True).values
    np.testing.assert_allclose(kl, theory.kl_per_dim, atol=1e-3)
