"""What the tests of the mathematics share: seeded draws, and VAEs small enough to integrate over."""

import torch

from vaelib.models import VAE, VAEConfig


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def images(*shape, seed=1):
    return torch.randint(0, 256, shape, generator=generator(seed)) / 255


def small_vae(latent_dim=1, strength=1.0, **settings):
    """A VAE of 2x3 pixels in float64; the larger `strength`, the more its decoder depends on z."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = VAE(VAEConfig(latent_dim=latent_dim, hidden=(8,), **settings), (2, 3)).double()
    for parameter in model.decoder.parameters():
        parameter.data.mul_(strength)
    return model
