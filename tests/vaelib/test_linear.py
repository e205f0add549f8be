"""Theory of the linear VAE against scikit-learn, against brute force, and against a linear VAE that was trained."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from sklearn.decomposition import PCA

from vaelib.evaluation import active_units, kl_per_dim, squared_error
from vaelib.likelihoods import LikelihoodConfig
from vaelib.linear import eigenvalues, predict
from vaelib.models import VAE, ObjectiveConfig, VAEConfig
from vaelib.objectives import elbo
from vaelib.training import TrainingConfig, fit

VALUES = [4.0, 1.0, 0.25, 0.04]


def data(values=VALUES, n=2000):
    """Images whose covariance has these eigenvalues exactly, in directions that are not the pixels'."""
    random = np.random.default_rng(0)
    basis = np.linalg.qr(random.standard_normal((len(values), len(values))))[0]
    x = random.standard_normal((n, len(values)))
    x = np.linalg.qr(x - x.mean(0))[0] * math.sqrt(n)  # mean 0, covariance 1
    return torch.from_numpy(x * np.sqrt(values) @ basis.T).float()


def test_eigenvalues_are_those_planted():
    np.testing.assert_allclose(eigenvalues(data()), VALUES, rtol=1e-4)
    assert eigenvalues(np.ones((5, 3))).tolist() == [0, 0, 0]
    with pytest.raises(ValueError, match=r"shape \(3,\): expected \(images, pixels\)"):
        eigenvalues([1, 2, 3])


@pytest.mark.parametrize(
    ("sigma", "beta", "active"), [(0.3, 1, 3), (0.6, 1, 2), (1.5, 1, 1), (2.5, 1, 0), (0.3, 20, 1)]
)
def test_a_direction_is_kept_if_it_varies_more_than_beta_sigma_squared(sigma, beta, active):
    prediction = predict(VALUES, 3, sigma, beta)
    assert prediction.active == active == (prediction.kl_per_dim > 0).sum()
    assert prediction.kl == pytest.approx(sum(0.5 * math.log(v / (beta * sigma**2)) for v in VALUES[:active]))


@pytest.mark.parametrize("beta", [1.0, 3.0])
def test_no_decoder_and_no_encoder_do_better_in_one_direction(beta):
    sigma, variance = 0.6, 1.0

    def loss(parameters):
        """Beta-weighted, per image: decoder w, encoder mean a x, log of its variance s; without constants."""
        w, a, log_s = parameters
        error = variance * (1 - a * w) ** 2 + w**2 * np.exp(log_s)
        return error / (2 * sigma**2) + beta * 0.5 * (a**2 * variance + np.exp(log_s) - 1 - log_s)

    best = minimize(loss, [0.5, 0.5, -1.0], tol=1e-12)
    w, a, _ = best.x
    theory = predict([variance], 1, sigma, beta)
    assert best.fun == pytest.approx(theory.expected_error / (2 * sigma**2) + beta * theory.kl)
    assert variance * (1 - a * w) ** 2 == pytest.approx(theory.squared_error, abs=1e-5)


def test_with_the_learned_sigma_the_bound_is_the_evidence_of_scikit_learn():
    x = data()
    sigma = math.sqrt((0.25 + 0.04) / 2)  # the eigenvalues that are left over: Tipping & Bishop 1999, equation 8
    assert predict(VALUES, 2, sigma).elbo == pytest.approx(PCA(2).fit(x.numpy()).score(x.numpy()), abs=1e-3)


def trained(sigma, beta=1.0):
    likelihood = LikelihoodConfig(name="gaussian", mean="identity", sigma="fixed", sigma_value=sigma)
    torch.manual_seed(0)
    model = VAE(VAEConfig(latent_dim=3, hidden=(), activation="identity", likelihood=likelihood), (4,))
    training = TrainingConfig(epochs=100, batch_size=100, learning_rate=0.03, schedule="cosine", device="cpu")
    fit(model, model.losses(ObjectiveConfig(beta=beta)), data(), training)
    return model


@pytest.mark.parametrize(("sigma", "beta"), [(0.4, 1.0), (0.4, 4.0)])
def test_a_trained_linear_vae_ends_where_theory_says(sigma, beta):
    model, x = trained(sigma, beta), data()
    theory = predict(VALUES, 3, sigma, beta)
    kl = kl_per_dim(model, x).sort(descending=True).values
    assert active_units(model, x).sum() == theory.active
    np.testing.assert_allclose(kl, theory.kl_per_dim, atol=0.05)
    assert squared_error(model, x).mean().item() == pytest.approx(theory.squared_error, rel=0.03)
    bound = elbo(model, x, samples=50, generator=torch.Generator().manual_seed(0)).elbo.mean().item()
    assert bound == pytest.approx(theory.elbo, abs=0.05)
    if beta == 1:
        with torch.no_grad():
            offset = model.decode(torch.zeros(3))
            weights = (model.decode(torch.eye(3)) - offset).T
        normal = torch.distributions.LowRankMultivariateNormal(offset, weights, torch.full((4,), sigma**2))
        exact = normal.log_prob(x).mean().item()  # Tipping & Bishop 1999, equation 4
        assert exact == pytest.approx(theory.elbo, abs=0.02) and exact > bound - 0.03


def test_impossible_questions_are_refused():
    with pytest.raises(ValueError, match="sigma=0, beta=1: both must be positive"):
        predict(VALUES, 2, 0)
    with pytest.raises(ValueError, match="latent_dim=5: expected 1 to 4, the number of eigenvalues"):
        predict(VALUES, 5, 1.0)
