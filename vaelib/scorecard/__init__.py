"""Claims, the figures that test them, and the verdicts that follow from the figures by rule."""

from vaelib.scorecard import rules
from vaelib.scorecard.card import Claim, Part, above, at_least, at_most, below, markdown, not_above, table, verdict
from vaelib.scorecard.claims import KINGMA_WELLING, REPORT
from vaelib.scorecard.likelihood import log_likelihood_of_all
from vaelib.scorecard.measures import code_sizes, jitter, largest_step, share_outside, sharpness
from vaelib.scorecard.published import CHECKPOINTS, PUBLISHED, Checkpoint, Published

__all__ = [
    "CHECKPOINTS",
    "KINGMA_WELLING",
    "PUBLISHED",
    "REPORT",
    "Checkpoint",
    "Claim",
    "Part",
    "Published",
    "above",
    "at_least",
    "at_most",
    "below",
    "code_sizes",
    "jitter",
    "largest_step",
    "log_likelihood_of_all",
    "markdown",
    "not_above",
    "rules",
    "share_outside",
    "sharpness",
    "table",
    "verdict",
]
