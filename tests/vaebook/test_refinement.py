"""Refined posteriors, on a linear model whose exact posterior is known."""

import pytest
import torch

from vaebook.experiments.refinement import refined
from vaelib.likelihoods import Gaussian, LikelihoodConfig
from vaelib.models import VAE, VAEConfig
from vaelib.objectives import elbo


class OfAnyNumbers(Gaussian):
    """Its pixels need not lie in [0, 1]."""

    def check(self, x):
        pass


@pytest.fixture
def hasty():
    """x = (1, 2) z + 0.5 epsilon, with an encoder that is wrong about everything."""
    likelihood = OfAnyNumbers(LikelihoodConfig(name="gaussian", mean="identity", sigma="fixed", sigma_value=0.5))
    model = VAE(VAEConfig(latent_dim=1, hidden=(), activation="identity"), (2,), likelihood=likelihood)
    for parameter in model.parameters():
        parameter.data.zero_()
    model.decoder.outputs.weight.data = torch.tensor([[1.0], [2.0]])
    return model


def images(n):
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(n, 1, generator=generator)
    return z * torch.tensor([1.0, 2.0]) + 0.5 * torch.randn(n, 2, generator=generator)


def test_the_exact_posterior_is_found_and_the_bound_is_the_evidence(hasty):
    x = images(50)
    before = {name: value.clone() for name, value in hasty.state_dict().items()}
    better = refined(hasty, x, steps=300, step=0.1, samples=64)
    mean, log_var = better.encode(x)
    variance = 1 / (1 + 5 / 0.25)
    torch.testing.assert_close(mean[:, 0], variance * (x @ torch.tensor([1.0, 2.0])) / 0.25, atol=0.03, rtol=0)
    torch.testing.assert_close(log_var.exp(), torch.full((50, 1), variance), atol=0.01, rtol=0)
    w = torch.tensor([1.0, 2.0])
    evidence = torch.distributions.MultivariateNormal(torch.zeros(2), 0.25 * torch.eye(2) + torch.outer(w, w))
    bound = elbo(better, x, samples=200, generator=torch.Generator().manual_seed(0)).elbo
    assert bound.mean().item() == pytest.approx(evidence.log_prob(x).mean().item(), abs=0.02)
    assert all(torch.equal(value, before[name]) for name, value in hasty.state_dict().items())


def test_a_refined_model_knows_its_own_images_only(hasty):
    x = images(5)
    better = refined(hasty, x, steps=1)
    torch.testing.assert_close(better.encode(x[[3, 1]])[0], better.encode(x)[0][[3, 1]])
    with pytest.raises(ValueError, match="refined for 5 images of its own: refine it for these, too"):
        better.encode(images(6)[5:])
