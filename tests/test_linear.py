"""Theory of the linear VAE against scikit-learn, against brute force, and against a linear VAE that was trained."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from sklearn.decomposition import PCA

from vaelib.config import ConfigError
from vaelib.evaluation import active_units, kl_per_dim, squared_error
from vaelib.likelihoods import LikelihoodConfig
from vaelib.linear import eigenvalues, linear_decoder, log_evidence, optimal_sigma, predict, train_linear
from vaelib.models import VAE, ModelConfig
from vaelib.objectives import ObjectiveConfig, elbo, loss_function
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
    sigma = optimal_sigma(VALUES, 2)
    assert sigma**2 == pytest.approx((0.25 + 0.04) / 2)
    assert predict(VALUES, 2, sigma).elbo == pytest.approx(PCA(2).fit(x.numpy()).score(x.numpy()), abs=1e-3)


def trained(sigma, beta=1.0):
    likelihood = LikelihoodConfig(name="gaussian", mean="identity", sigma="fixed", sigma_value=sigma)
    torch.manual_seed(0)
    model = VAE(ModelConfig(latent_dim=3, hidden=(), activation="identity", likelihood=likelihood), (4,))
    training = TrainingConfig(epochs=100, batch_size=100, learning_rate=0.03, schedule="cosine", device="cpu")
    fit(model, loss_function(model, ObjectiveConfig(beta=beta)), data(), training)
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
        exact = log_evidence(x, *linear_decoder(model)).mean().item()
        assert exact == pytest.approx(theory.elbo, abs=0.02) and exact > bound - 0.03


def test_a_deep_network_without_activations_is_linear_too():
    likelihood = LikelihoodConfig(name="gaussian", mean="identity", sigma="shared", sigma_value=0.5)
    model = VAE(ModelConfig(latent_dim=2, hidden=(7,), activation="identity", likelihood=likelihood), (3,))
    weights, offset, sigma = linear_decoder(model)
    z = torch.randn(5, 2, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(model.mean_image(z), (z.double() @ weights.T + offset).float())
    assert sigma == pytest.approx(0.5, abs=1e-4)


def test_evidence_is_that_of_the_full_gaussian():
    weights, offset = torch.tensor([[1.0], [2.0], [-1.0]]), torch.tensor([0.1, 0.2, 0.3])
    covariance = weights @ weights.T + 0.25 * torch.eye(3)
    x = data()[:, :3]
    expected = torch.distributions.MultivariateNormal(offset.double(), covariance.double()).log_prob(x.double())
    torch.testing.assert_close(log_evidence(x, weights, offset, 0.5), expected)


@pytest.mark.parametrize(
    ("likelihood", "model", "message"),
    [
        (
            {"name": "bernoulli"},
            {},
            "likelihood.name='bernoulli': only a model with likelihood.name='gaussian' is linear",
        ),
        ({"mean": "sigmoid"}, {}, "likelihood.mean='sigmoid'"),
        ({}, {"activation": "tanh"}, "activation='tanh': only a model with activation='identity' is linear"),
        ({"sigma": "per-pixel"}, {}, "the exact evidence needs one sigma"),
    ],
)
def test_what_is_not_linear_is_refused(likelihood, model, message):
    settings = LikelihoodConfig(**{"name": "gaussian", "mean": "identity", **likelihood})
    config = ModelConfig(**{"latent_dim": 2, "hidden": (4,), "activation": "identity", **model}, likelihood=settings)
    with pytest.raises(ConfigError, match=message):
        linear_decoder(VAE(config, (3,)))


@pytest.mark.parametrize(("sigma", "beta"), [(0.15, 1.0), (0.4, 1.0), (0.15, 20.0), (3.0, 1.0)])
def test_exact_training_ends_where_theory_says(sigma, beta):
    theory = predict(VALUES, 3, sigma, beta)
    model = train_linear(VALUES, 3, sigma, beta)
    assert model.directions(VALUES) == theory.active
    kl = model.kl_per_dim(VALUES).sort(descending=True).values
    np.testing.assert_allclose(kl, theory.kl_per_dim, atol=1e-3)


def test_impossible_questions_are_refused():
    with pytest.raises(ValueError, match="sigma=0, beta=1: both must be positive"):
        predict(VALUES, 2, 0)
    with pytest.raises(ValueError, match="latent_dim=5: expected 1 to 4, the number of eigenvalues"):
        predict(VALUES, 5, 1.0)
    with pytest.raises(ValueError, match="latent_dim=4: with a latent for each pixel"):
        optimal_sigma(VALUES, 4)
