"""A scorecard: claims, the parts that each was tested by, and the verdict that follows from them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

__all__ = ["Claim", "Part", "above", "at_least", "at_most", "below", "markdown", "not_above", "table", "verdict"]

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
    interval = _of_difference(_list(values), _list(others))
    text = _versus(what, values, others, interval, digits, margin)
    return Part(text, _beyond(interval, margin), _seeds(values, others))


def below(what: str, values: Values, others: Values, margin: float = 0.0, digits: int = 2) -> Part:
    """That the mean of `values` lies more than `margin` below that of `others`."""
    interval = _of_difference(_list(values), _list(others))
    text = _versus(what, values, others, interval, digits, margin)
    return Part(text, _beyond(interval.mirrored(), margin), _seeds(values, others))


def not_above(what: str, values: Values, others: Values, margin: float = 0.0, digits: int = 2) -> Part:
    """That the mean of `values` lies no more than `margin` above that of `others`."""
    interval = _of_difference(_list(values), _list(others))
    text = _versus(what, values, others, interval, digits) + f"; asked: {margin:g} or less"
    return Part(text, _not(_beyond(interval, margin)), _seeds(values, others))


def at_least(what: str, values: Values, limit: float, digits: int = 2) -> Part:
    """That the mean of `values` is `limit` or more."""
    interval = _of_mean(_list(values))
    text = f"{what}: {interval.text(digits)}; asked: {limit:g} or more"
    return Part(text, _not(_beyond(interval.mirrored(), -limit)), _seeds(values))


def at_most(what: str, values: Values, limit: float, digits: int = 2) -> Part:
    """That the mean of `values` is `limit` or less."""
    interval = _of_mean(_list(values))
    text = f"{what}: {interval.text(digits)}; asked: {limit:g} or less"
    return Part(text, _not(_beyond(interval, limit)), _seeds(values))


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
        rows.append([number, claim.sense, said, tests, _range(parts), claim.where])
    return table(["no.", "the claim", "verdict", "tested by, and figures", "seeds", "see"], rows)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of texts in Markdown, so that links and citations in its cells work."""
    lines = [head, ["---"] * len(head), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


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
    """Whether the value lies above the limit; None where the interval holds the limit."""
    return True if interval.low > limit else None if interval.high > limit else False


def _not(answer: bool | None) -> bool | None:
    return None if answer is None else not answer


def _of_mean(values: list[float]) -> _Interval:
    """Student's t."""
    error = np.std(values, ddof=1) / len(values) ** 0.5 if len(values) > 1 else 0.0
    return _around(float(np.mean(values)), float(error), len(values) - 1)


def _of_difference(values: list[float], others: list[float]) -> _Interval:
    """Welch's, each group with its own variance; a lone seed beside several is given theirs."""
    groups = [group for group in (values, others) if len(group) > 1]
    difference = float(np.mean(values) - np.mean(others))
    if not groups:
        return _around(difference, 0.0, 0)
    if len(groups) == 1:
        (several,) = groups
        return _around(difference, float(np.std(several, ddof=1) * (1 + 1 / len(several)) ** 0.5), len(several) - 1)
    squares = [float(np.var(group, ddof=1)) / len(group) for group in groups]
    weights = sum(square**2 / (len(group) - 1) for square, group in zip(squares, groups, strict=True))
    return _around(difference, sum(squares) ** 0.5, sum(squares) ** 2 / weights if weights else 0)


def _around(value: float, error: float, free: float) -> _Interval:
    from scipy.stats import t

    half = float(t.ppf(0.975, free)) * error if free and error else 0.0
    return _Interval(value, value - half, value + half)


def _versus(what: str, values: Values, others: Values, interval: _Interval, digits: int, margin: float = 0) -> str:
    asked = f"; asked: by more than {margin:g}" if margin else ""
    both = " against ".join(f"{np.mean(group):.{digits}f}".replace("-", "−") for group in (values, others))
    return f"{what}: {both}, difference {interval.text(digits, '+')}{asked}"


def _list(values: Values) -> list[float]:
    return [float(value) for value in np.atleast_1d(values)]


def _seeds(*groups: Values) -> int:
    return min(len(_list(group)) for group in groups)


def _range(parts: Sequence[Part]) -> str:
    counts = sorted({part.seeds for part in parts})
    return "" if not counts else str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
