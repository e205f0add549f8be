"""What chapters find out about claims: one line for each test, kept beside the chapter that made it.

A chapter measures, states the border before it sees the result, and saves its findings; the scorecard only reads and
joins them. A finding is one effect with its 95 % interval over seeds, and the side of the border where the claim says
that it lies.
"""

from __future__ import annotations

import csv
import re
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

import numpy as np
import pandas as pd
from scipy.stats import ttest_1samp, ttest_ind

from vaelib.config import pick
from vaelib.data import ImageData

__all__ = ["Answer", "Finding", "Side", "across", "asked_text", "decided", "difference", "effect_text", "mean_of"]
__all__ += ["read", "save", "table", "verdict"]

Answer = Literal["yes", "no", "open"]
Side = Literal["above", "below"]


class Finding(NamedTuple):
    """One test of a claim: the claim says that `effect` lies on that `side` of the `border`.

    `low` and `high` are its 95 % interval over `seeds` runs, not a number where one seed tells no spread. `given` names
    the circumstances that the answer may turn on, such as a recipe: within the same ones all tests must say yes.
    """

    claim: str
    test: str
    effect: float
    low: float
    high: float
    side: Side
    border: float
    unit: str
    seeds: int
    given: str = ""

    @property
    def answer(self) -> Answer:
        """yes or no where the whole interval lies on one side of the border, else open; open without an interval."""
        sign = 1 if self.side == "above" else -1
        beyond = sorted(sign * (bound - self.border) for bound in (self.low, self.high))
        return "yes" if beyond[0] > 0 else "no" if beyond[1] <= 0 else "open"


def mean_of(
    claim: str, test: str, values: Sequence[float], side: Side, border: float, unit: str = "", given: str = ""
) -> Finding:
    """The mean of one figure a seed against a border, with Student's interval."""
    found = np.atleast_1d(np.asarray(values, float))
    low, high = _interval(found, lambda: ttest_1samp(found, 0.0))
    pick("side", side, get_args(Side))
    return Finding(claim, test, float(found.mean()), low, high, side, float(border), unit, len(found), given)


def difference(
    claim: str,
    test: str,
    values: Sequence[float],
    others: Sequence[float],
    side: Side,
    border: float = 0.0,
    unit: str = "",
    given: str = "",
) -> Finding:
    """By how much the mean of `values` lies above that of `others`, with Welch's interval.

    A lone seed beside several is judged by the spread of these.
    """
    groups = [np.atleast_1d(np.asarray(group, float)) for group in (values, others)]
    pooled = min(map(len, groups)) == 1
    low, high = _interval(np.concatenate([g - g.mean() for g in groups]), lambda: ttest_ind(*groups, equal_var=pooled))
    effect, seeds = float(groups[0].mean() - groups[1].mean()), min(map(len, groups))
    pick("side", side, get_args(Side))
    return Finding(claim, test, effect, low, high, side, float(border), unit, seeds, given)


def decided(findings: Iterable[Finding]) -> dict[str, Literal["yes", "no"]]:
    """Circumstances (`given`) -> what the tests of a claim say there together; without those that are open.

    The claim asks for all of them: yes where each test says yes, no where one says no, and open otherwise.
    """
    answers: dict[str, set[Answer]] = {}
    for one in findings:
        answers.setdefault(one.given, set()).add(one.answer)
    clear = {given: said for given, said in answers.items() if "no" in said or said == {"yes"}}
    return {given: "no" if "no" in said else "yes" for given, said in clear.items()}


def verdict(findings: Sequence[Finding], depends_on: str = "") -> str:
    """What all tests of a claim say together: "holds" if every circumstance that is `decided` says yes, "does not hold"
    if each says no, else "depends on" `depends_on`; "open" if none is decided.

    Raises:
        ValueError: the answers differ between circumstances, and nobody says what they turn on.
    """
    if not findings:
        return "not tested"
    answers = decided(findings)
    if not answers:
        return "open"
    if len(set(answers.values())) == 1:
        return "holds" if "yes" in answers.values() else "does not hold"
    if not depends_on:
        raise ValueError(f"answers differ ({answers}): say what the claim depends on")
    return f"depends on {depends_on}"


def table(findings: Iterable[Finding]) -> pd.DataFrame:
    """A line for each finding, for a chapter to show."""
    lines = [
        {
            "claim": one.claim,
            "test": one.test,
            "given": one.given,
            "effect": effect_text(one),
            "asked": asked_text(one),
            "seeds": one.seeds,
            "answer": one.answer,
        }
        for one in findings
    ]
    return pd.DataFrame(lines).set_index("claim")


def across(findings: Iterable[Finding], *claims: str) -> pd.DataFrame:
    """Of these claims, a line for each test, a column for each circumstance: the effect, its interval, the answer."""
    cells: dict[str, dict[str, str]] = {}
    for one in (one for one in findings if one.claim in claims):
        asked = f"{one.test}: {asked_text(one)}?"
        cells.setdefault(asked, {})[one.given] = f"{effect_text(one)}: {one.answer}"
    return pd.DataFrame.from_dict(cells, orient="index").fillna("")


def effect_text(finding: Finding) -> str:
    """``+1.30 [0.80, 1.80] nats``; without an interval where there is none."""
    interval = "" if np.isnan(finding.low) else f" [{_number(finding.low)}, {_number(finding.high)}]"
    return f"{_number(finding.effect)}{interval} {finding.unit}".rstrip()


def asked_text(finding: Finding) -> str:
    """``above 0.50``: where the claim says that the effect lies."""
    return f"{finding.side} {_number(finding.border)}"


def save(
    chapter: str, data: Sequence[ImageData], findings: Sequence[Finding], folder: Path | None = None
) -> pd.DataFrame:
    """Keeps what a chapter found on these data sets in place of what it found there before; returns its `table`.

    `folder` None: that beside the chapters.
    """
    folder = folder or _beside_chapters()
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / f"{chapter}.{_sets(data)}.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, Finding._fields, lineterminator="\n")
        writer.writeheader()
        writer.writerows(_rounded(one._asdict()) for one in findings)
    return table(findings)


def read(data: Sequence[ImageData], folder: Path | None = None) -> dict[str, list[Finding]]:
    """Chapter -> what it found on these data sets, for every chapter that saved something.

    Raises:
        ValueError: a file that is none of ours, with its name and what is wrong.
    """
    ending = f".{_sets(data)}.csv"
    return {
        path.name.removesuffix(ending): _read(path)
        for path in sorted((folder or _beside_chapters()).glob("*.csv"))
        if path.name.endswith(ending)
    }


def _beside_chapters() -> Path:
    """Notebooks run in the book's folder, or in that of the chapters."""
    return Path("chapters", "findings") if Path("chapters").is_dir() else Path("findings")


def _read(path: Path) -> list[Finding]:
    with open(path, newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file)
        if tuple(rows.fieldnames or ()) != Finding._fields:
            raise ValueError(f"{path}: its columns are {rows.fieldnames}, expected {list(Finding._fields)}")
        try:
            return [_of_text(row) for row in rows]
        except (TypeError, ValueError) as error:
            raise ValueError(f"{path}: {error}") from None


def _of_text(row: Mapping[str, str]) -> Finding:
    numbers = {name: float(row[name]) for name in ("effect", "low", "high", "border")}
    pick("side", row["side"], get_args(Side))
    return Finding(**{**row, **numbers, "seeds": int(row["seeds"])})  # type: ignore[arg-type]


def _interval(spread: np.ndarray, test: Callable[[], Any]) -> tuple[float, float]:
    """Of a test of scipy; not a number where one seed, or no spread at all, tells none."""
    if len(spread) < 2 or not np.isfinite(spread).all() or not np.ptp(spread):
        return float("nan"), float("nan")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of one group without a spread
        low, high = test().confidence_interval()
    return float(low), float(high)


def _sets(data: Sequence[ImageData]) -> str:
    """The data sets' titles as a part of a file's name."""
    return ".".join(re.sub(r"[^\w-]+", "_", one.name).strip("_").lower() or "data" for one in data)


def _rounded(row: Mapping[str, object]) -> dict[str, object]:
    """Six digits: what differs after them is the machine, not the finding."""
    return {name: f"{value:.6g}" if isinstance(value, float) else value for name, value in row.items()}


def _number(value: float) -> str:
    """No decimals and commas from 100 on, two from 0.1 on, two digits below; a true minus sign."""
    text = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}" if abs(value) >= 0.1 else f"{value:.2g}"
    return text.replace("-", "−")
