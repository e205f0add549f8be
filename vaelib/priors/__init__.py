"""p(z) and q(z|x): what a latent vector looks like before and after an image is seen."""

from vaelib.priors.base import Prior, gaussian_kl, gaussian_log_prob, reparameterise
from vaelib.priors.config import PriorConfig, make_prior
from vaelib.priors.flow import Flow
from vaelib.priors.mixture import Mixture, MixtureFit, fit_mixture
from vaelib.priors.normal import StandardNormal, Tempered
from vaelib.priors.vamp import Vamp

__all__ = [
    "Flow",
    "Mixture",
    "MixtureFit",
    "Prior",
    "PriorConfig",
    "StandardNormal",
    "Tempered",
    "Vamp",
    "fit_mixture",
    "gaussian_kl",
    "gaussian_log_prob",
    "make_prior",
    "reparameterise",
]
