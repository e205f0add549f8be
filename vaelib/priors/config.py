"""Which prior a model is trained with."""

from __future__ import annotations

from typing import Literal

from pydantic import PositiveInt
from torch import nn

from vaelib.config import Config
from vaelib.priors.base import Prior
from vaelib.priors.flow import Flow
from vaelib.priors.normal import StandardNormal
from vaelib.priors.vamp import Vamp

__all__ = ["PriorConfig", "make_prior"]


class PriorConfig(Config):
    """Which p(z) a model is trained with. Only "standard-normal" has a KL in closed form.

    "vamp" learns `pseudo_inputs` images, "flow" `transforms` steps; both need kl="monte-carlo" in the objective.
    """

    name: Literal["standard-normal", "vamp", "flow"] = "standard-normal"
    pseudo_inputs: PositiveInt = 500
    transforms: PositiveInt = 3


def make_prior(config: PriorConfig, latent_dim: int, pixels: int, encoder: nn.Module) -> Prior:
    """The prior that `config` describes, over codes of `latent_dim` that `encoder` makes of `pixels`."""
    if config.name == "vamp":
        return Vamp(encoder, pixels, latent_dim, config.pseudo_inputs)
    if config.name == "flow":
        return Flow(latent_dim, config.transforms)
    return StandardNormal(latent_dim)
