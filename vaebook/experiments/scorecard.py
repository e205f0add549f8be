"""A scorecard: claims, the parts that each was tested by, and the verdict that follows from their figures by rule."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.stats import ttest_1samp, ttest_ind
from torch import Tensor

from vaelib.evaluation import log_likelihood
from vaelib.models import VAE

__all__ = [
    *("Claim", "Part", "Values", "above", "at_least", "at_most", "below", "decided", "largest_step"),
    *("log_likelihood_of_all", "markdown", "not_above", "table", "verdict"),
]

MARKS = {True: "✓", False: "✗", None: "?"}

Values = Sequence[float] | float
"""A figure of each seed, or one figure alone."""


class Claim(NamedTuple):
    """A sentence that somebody wrote, and where this book tests it: `where` is a link in MyST.

    `depends_on` names what the answers turn on if some of them are yes and some no. `untested` says why there are none.
    """

    sense: str
    where: str = ""
    depends_on: str = ""
    untested: str = ""


class Part(NamedTuple):
    """One thing that a claim implies, with its figures; `holds` is None where they leave it open."""

    text: str
    holds: bool | None
    seeds: int = 1


def verdict(parts: Sequence[Part], depends_on: str = "") -> str:
    """What the parts say together: "holds" if all are yes, "does not hold" if none is and not all are open.

    A part that is open keeps the others from "holds", and makes no yes of a no.
    """
    answers = {part.holds for part in parts}
    if not parts:
        return "not tested"
    if answers == {None}:
        return "open"
    if True not in answers:
        return "does not hold"
    if answers == {True}:
        return "holds"
    return f"depends on {depends_on}" if depends_on and False in answers else "holds in part"


def above(what: str, values: Values, others: Values, margin: float = 0.0, digits: int = 2) -> Part:
    """That the mean of `values` lies more than `margin` above that of `others`."""
    interval = _of_difference(values, others)
    text = _versus(what, values, others, interval, digits, margin)
    return Part(text, _beyond(interval, margin), _seeds(values, others))


def below(what: str, values: Values, others: Values, margin: float = 0.0, digits: int = 2) -> Part:
    """That the mean of `values` lies more than `margin` below that of `others`."""
    interval = _of_difference(values, others)
    text = _versus(what, values, others, interval, digits, margin)
    return Part(text, _beyond(interval.mirrored(), margin), _seeds(values, others))


def not_above(what: str, values: Values, others: Values, margin: float = 0.0, digits: int = 2) -> Part:
    """That the mean of `values` lies no more than `margin` above that of `others`."""
    interval = _of_difference(values, others)
    text = _versus(what, values, others, interval, digits) + f"; asked: {margin:g} or less"
    return Part(text, _not(_beyond(interval, margin)), _seeds(values, others))


def at_least(what: str, values: Values, limit: float, digits: int = 2) -> Part:
    """That the mean of `values` is `limit` or more."""
    interval = _of_mean(values)
    text = f"{what}: {interval.text(digits)}; asked: {limit:g} or more"
    return Part(text, _not(_beyond(interval.mirrored(), -limit)), _seeds(values))


def at_most(what: str, values: Values, limit: float, digits: int = 2) -> Part:
    """That the mean of `values` is `limit` or less."""
    interval = _of_mean(values)
    text = f"{what}: {interval.text(digits)}; asked: {limit:g} or less"
    return Part(text, _not(_beyond(interval, limit)), _seeds(values))


def decided(answer: Any, *figures: Any) -> bool | None:
    """The `answer` that these figures (numbers or arrays) gave; None if one is not a number, which decides nothing."""
    return None if any(np.isnan(np.asarray(one, float)).any() for one in figures) else bool(answer)


def markdown(claims: Mapping[str, Claim], evidence: Mapping[str, Sequence[Part]]) -> str:
    """The table, a row for each claim, as MyST Markdown; a claim without evidence needs a reason, its `untested`.

    Raises:
        ValueError: a claim has neither evidence nor a reason, or evidence belongs to no claim.
    """
    strangers = evidence.keys() - claims.keys()
    silent = [n for n, claim in claims.items() if not evidence.get(n) and not claim.untested]
    if strangers or silent:
        raise ValueError(f"evidence for no claim: {sorted(strangers)}; claims without evidence or reason: {silent}")
    rows = []
    for number, claim in claims.items():
        parts = evidence.get(number, ())
        tests = "<br>".join(f"{MARKS[part.holds]} {part.text}" for part in parts) or claim.untested
        said = f"**{verdict(parts, claim.depends_on)}**"
        counts = sorted({part.seeds for part in parts})
        seeds = " to ".join(str(count) for count in dict.fromkeys(counts[:1] + counts[-1:]))
        rows.append([number, claim.sense, said, tests, seeds, claim.where])
    return table(["no.", "the claim", "verdict", "tested by, and figures", "seeds", "see"], rows)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of texts in Markdown, so that links and citations in its cells work."""
    lines = [head, ["---"] * len(head), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def largest_step(model: VAE, walks: int = 200, steps: int = 20, seed: int = 0) -> float:
    """Along straight lines between draws from the prior: the largest step of the picture, in even steps of z.

    The mean over `walks` of the largest distance between neighbouring pictures over the sum of them all: 1 / `steps` if
    pictures change evenly, 1 if they jump once.
    """
    ends = model.prior.sample(2 * walks, torch.Generator().manual_seed(seed)).view(2, walks, 1, -1)
    share = torch.linspace(0, 1, steps + 1)[:, None]
    pictures = model.mean_image(torch.lerp(ends[0], ends[1], share))  # (walks, steps + 1, D)
    moved = pictures.diff(dim=1).norm(dim=-1)
    return (moved.max(1).values / moved.sum(1).clamp(min=1e-12)).mean().item()


def log_likelihood_of_all(
    model: VAE, x: Tensor, samples: int = 5000, few: int = 100, images: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """The mean log p(x) over x (N, D) that `samples` draws would give, in nats, and its standard error.

    All images get `few` draws; what `samples` draws add is measured on `images` of them, drawn at random (a difference
    estimator; Cochran 1977, chapter 7). The difference varies far less over images than log p(x) does. The error is
    that of this step: it is 0, but for Monte Carlo noise, where `images` is N.

    Raises:
        ValueError: fewer than two images.
    """
    generator = torch.Generator().manual_seed(seed)
    if min(images, len(x)) < 2:
        raise ValueError(f"images={images} of {len(x)}: an error needs at least 2")
    some = torch.randperm(len(x), generator=generator)[:images]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of few effective samples: what more would add is added below
        rough = log_likelihood(model, x, few, generator, progress=False).value.double()
    fine = log_likelihood(model, x[some], samples, generator, progress=False).value.double()
    added = fine - rough[some]
    left = 1 - len(some) / len(x)
    return (rough.mean() + added.mean()).item(), (left * added.var() / len(some)).sqrt().item()


class _Interval(NamedTuple):
    """A value and its 95 % interval, which is the value alone where no spread over seeds is known."""

    value: float
    low: float
    high: float

    def mirrored(self) -> _Interval:
        return _Interval(-self.value, -self.high, -self.low)

    def text(self, digits: int, sign: str = "") -> str:
        value, low, high = (f"{bound:{sign}.{digits}f}".replace("-", "−") for bound in self)
        return value if self.low == self.high else f"{value} [{low}, {high}]"


def _beyond(interval: _Interval, limit: float) -> bool | None:
    """Whether the value lies above the limit; None where the interval holds the limit, or is no number."""
    return True if interval.low > limit else False if interval.high <= limit else None


def _not(answer: bool | None) -> bool | None:
    return None if answer is None else not answer


def _of_mean(values: Values) -> _Interval:
    """Student's t."""
    mean = float(np.mean(values))
    return _Interval(mean, *(ttest_1samp(values, 0).confidence_interval() if np.ptp(values) else (mean, mean)))


def _of_difference(values: Values, others: Values) -> _Interval:
    """Welch's, each group with its own variance; a lone seed beside several is given theirs (Student's, pooled)."""
    difference = float(np.mean(values) - np.mean(others))
    if np.ptp(values) == np.ptp(others) == 0:
        return _Interval(difference, difference, difference)
    groups = [np.atleast_1d(group) for group in (values, others)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of variances that are 0
        test = ttest_ind(*groups, equal_var=min(map(len, groups)) == 1)
    return _Interval(difference, *test.confidence_interval())


def _versus(what: str, values: Values, others: Values, interval: _Interval, digits: int, margin: float = 0) -> str:
    asked = f"; asked: by more than {margin:g}" if margin else ""
    both = " against ".join(f"{np.mean(group):.{digits}f}".replace("-", "−") for group in (values, others))
    return f"{what}: {both}, difference {interval.text(digits, '+')}{asked}"


def _seeds(*groups: Values) -> int:
    return min(np.size(group) for group in groups)
