"""The families of models. A new one is a file beside `vae.py`, and its name below."""

from vaelib.models.base import FAMILIES, LatentVariableModel, ModelConfig, UnsupportedError, new_model, register
from vaelib.models.gan import GAN, GANConfig, GANObjective
from vaelib.models.vae import VAE, ObjectiveConfig, VAEConfig

__all__ = ["FAMILIES", "VAE", "LatentVariableModel", "ModelConfig", "ObjectiveConfig", "UnsupportedError", "VAEConfig"]
__all__ += ["GAN", "GANConfig", "GANObjective", "new_model", "register"]

for _family in (VAE, GAN):
    register(_family)
