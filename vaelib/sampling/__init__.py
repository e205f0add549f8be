"""What a model draws, compared with what it was shown: coverage, copying, rare modes; and priors that draw better."""

from vaelib.sampling.judge import Judgement, judge
from vaelib.sampling.measures import Covered, Share, copying, coverage, share
from vaelib.sampling.mismatch import Mismatch, mismatch
from vaelib.sampling.of_runs import REPAIRS, judged, mixture_for, repaired
from vaelib.sampling.repair import fit_prior, latents, mixture_of, with_prior
from vaelib.sampling.tongue import TongueDetector, tongue_detector

__all__ = [
    "REPAIRS",
    "Covered",
    "Judgement",
    "Mismatch",
    "Share",
    "TongueDetector",
    "copying",
    "coverage",
    "fit_prior",
    "judge",
    "judged",
    "latents",
    "mismatch",
    "mixture_for",
    "mixture_of",
    "repaired",
    "share",
    "tongue_detector",
    "with_prior",
]
