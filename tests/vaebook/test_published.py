"""Likelihoods by the protocols of others: a few images stand for all, and the error says how well."""

import pytest
import torch

from vaebook.experiments.published import PUBLISHED, log_likelihood_of_all
from vaelib.likelihoods import LikelihoodConfig
from vaelib.models import VAE, VAEConfig


def linear_vae():
    likelihood = LikelihoodConfig(name="gaussian", mean="identity", sigma="fixed")
    torch.manual_seed(0)
    return VAE(VAEConfig(latent_dim=3, hidden=(4,), activation="identity", likelihood=likelihood), (2, 2)).eval()


def test_a_few_images_stand_for_all():
    """Where all images get all draws there is nothing to estimate from a part."""
    model, x = linear_vae(), torch.rand(200, 4, generator=torch.Generator().manual_seed(0))
    whole, no_error, effective = log_likelihood_of_all(model, x, 500, 20, images=200)
    part, error, _ = log_likelihood_of_all(model, x, 500, 20, images=50)
    assert no_error == 0 < error < 0.2
    assert 1 <= effective <= 500
    assert abs(part - whole) < 4 * error


def test_an_error_needs_two_images():
    with pytest.raises(ValueError, match="images=1 of 4: an error needs at least 2"):
        log_likelihood_of_all(linear_vae(), torch.rand(4, 4), images=1)


def test_each_published_figure_has_a_protocol_and_a_source():
    for one in PUBLISHED.values():
        assert one.data in ("mnist", "frey") and one.protocol.endswith(")") and one.source and 0 < one.figure < 100
