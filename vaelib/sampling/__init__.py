"""What a model draws, compared with what it was shown: coverage, copying, rare modes; and priors that draw better."""

from vaelib.sampling.measures import Covered, copying, coverage, share
from vaelib.sampling.repair import fit_prior, latents, mixture_of, with_prior
from vaelib.sampling.tongue import TongueDetector, tongue_detector

__all__ = [
    "Covered",
    "TongueDetector",
    "copying",
    "coverage",
    "fit_prior",
    "latents",
    "mixture_of",
    "share",
    "tongue_detector",
    "with_prior",
]
