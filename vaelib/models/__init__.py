"""The families of models. A new one is a file beside `vae.py`, and its name below."""

from vaelib.models.base import FAMILIES, LatentVariableModel, ModelConfig, UnsupportedError, new_model, register
from vaelib.models.gan import GAN, GANConfig, GANObjective
from vaelib.models.hierarchical import HierarchicalConfig, HierarchicalObjective, HierarchicalVAE
from vaelib.models.vae import VAE, ObjectiveConfig, VAEConfig

__all__ = ["FAMILIES", "VAE", "LatentVariableModel", "ModelConfig", "ObjectiveConfig", "UnsupportedError", "VAEConfig"]
__all__ += ["GAN", "GANConfig", "GANObjective", "HierarchicalConfig", "HierarchicalObjective", "HierarchicalVAE"]
__all__ += ["new_model", "register"]

for _family in (VAE, HierarchicalVAE, GAN):
    register(_family)
