"""The families of models. A new one is a file beside `vae.py`, and its name below."""

from vaelib.models.base import FAMILIES, LatentVariableModel, ModelConfig, UnsupportedError, new_model, register
from vaelib.models.categorical import Categorical, CategoricalConfig, CategoricalObjective
from vaelib.models.gan import GAN, GANConfig, GANObjective
from vaelib.models.hierarchical import HierarchicalConfig, HierarchicalObjective, HierarchicalVAE
from vaelib.models.vae import VAE, ObjectiveConfig, VAEConfig
from vaelib.models.vq import VQ, RoundedConfig, VectorsConfig, VQConfig

__all__ = ["FAMILIES", "VAE", "LatentVariableModel", "ModelConfig", "ObjectiveConfig", "UnsupportedError", "VAEConfig"]
__all__ += ["GAN", "GANConfig", "GANObjective", "HierarchicalConfig", "HierarchicalObjective", "HierarchicalVAE"]
__all__ += ["new_model", "register"]
__all__ += ["VQ", "Categorical", "CategoricalConfig", "CategoricalObjective"]
__all__ += ["RoundedConfig", "VQConfig", "VectorsConfig"]

for _family in (VAE, HierarchicalVAE, VQ, Categorical, GAN):
    register(_family)
