"""Measures of pictures: their values where these are known."""

import numpy as np
import pytest
import torch

from vaebook.experiments.pictures import largest_step, sharpness
from vaelib.likelihoods import LikelihoodConfig
from vaelib.models import VAE, VAEConfig


def linear_vae():
    likelihood = LikelihoodConfig(name="gaussian", mean="identity", sigma="fixed")
    torch.manual_seed(0)
    return VAE(VAEConfig(latent_dim=3, hidden=(4,), activation="identity", likelihood=likelihood), (2, 2)).eval()


def test_a_linear_decoder_changes_evenly_along_a_line():
    ends = torch.randn(2, 5, 1, 3, generator=torch.Generator().manual_seed(0))
    walks = torch.lerp(ends[0], ends[1], torch.linspace(0, 1, 11)[:, None])
    assert largest_step(linear_vae().mean_image(walks)) == pytest.approx(1, rel=1e-4)


def test_a_jump_is_as_many_mean_steps_as_there_are_steps():
    jump = np.zeros((1, 21, 4))
    jump[:, 7:] = 1
    even = np.linspace(0, 1, 21)[None, :, None] * np.ones(4)
    assert largest_step(jump) == pytest.approx(20)
    assert largest_step(np.concatenate([jump, even, np.zeros((1, 21, 4))])) == pytest.approx((20 + 1) / 2)


def test_walks_without_a_step_are_refused():
    with pytest.raises(ValueError, match="they take no step"):
        largest_step(np.ones((3, 5, 4)))


def test_sharpness_is_that_of_the_pictures_over_that_of_real_ones():
    stripes, ramp = torch.tensor([[0.0, 1.0, 0.0, 1.0]]), torch.tensor([[0.0, 1 / 3, 2 / 3, 1.0]])
    assert sharpness(stripes, stripes, (1, 4)) == 1
    assert sharpness(ramp, stripes, (1, 4)) < 0.5
