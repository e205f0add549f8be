"""What a model draws, compared with what it was shown: coverage, copying, rare modes; and priors that draw better."""

from vaelib.sampling.animation import gif, walk
from vaelib.sampling.judge import Judgement, judge
from vaelib.sampling.measures import Covered, Share, copying, coverage, share
from vaelib.sampling.mismatch import Mismatch, mismatch
from vaelib.sampling.of_runs import (
    REPAIRS,
    Bits,
    bits,
    bits_all,
    fit_seconds,
    judged,
    judged_all,
    mixture_for,
    repaired,
)
from vaelib.sampling.repair import fit_prior, latents, mixture_of, with_prior
from vaelib.sampling.tables import judgement_table, judgements
from vaelib.sampling.tongue import TongueDetector, tongue_detector, tongues

__all__ = [
    "REPAIRS",
    "Bits",
    "Covered",
    "Judgement",
    "Mismatch",
    "Share",
    "TongueDetector",
    "bits",
    "bits_all",
    "copying",
    "coverage",
    "fit_prior",
    "fit_seconds",
    "gif",
    "judge",
    "judged",
    "judged_all",
    "judgement_table",
    "judgements",
    "latents",
    "mismatch",
    "mixture_for",
    "mixture_of",
    "repaired",
    "share",
    "tongue_detector",
    "tongues",
    "walk",
    "with_prior",
]
