"""How much of what a full factorial experiment found is due to which factor."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import pandas as pd

from vaelib.config import pick

__all__ = ["OTHER", "SEEDS", "explained", "levels"]

SEEDS = "between seeds"
OTHER = "higher interactions"


def explained(table: pd.DataFrame, factors: Sequence[str], response: str) -> pd.Series:
    """The shares of the variance of `response` due to each factor alone, to each pair beyond that, and to the rest.

    `table` has one row for each run, with a column for each factor. Every combination of levels must have the same
    number of runs: then the shares do not depend on an order, and sum to 1. What runs of one combination differ by is
    "between seeds"; what is left, three factors or more at work together. (Analysis of variance; Fisher 1925.)

    Raises:
        ConfigError: no column has one of the names.
        ValueError: a combination is missing or has more runs than another, or `response` never varies.
    """
    for name in [*factors, response]:
        pick("column", name, [str(column) for column in table])
    factors = list(factors)
    counts = table.groupby(factors, observed=True)[response].count()
    wanted = table[factors].nunique().prod()
    if len(counts) != wanted or counts.nunique() != 1:
        raise ValueError(
            f"{len(counts)} of {wanted} combinations of {', '.join(factors)} have {counts.min()} to {counts.max()} "
            "runs: shares need a full factorial, with as many runs in each"
        )
    values = table[response].astype(float)
    total = (values - values.mean()).pow(2).sum()
    if not total > 0:
        raise ValueError(f"{response!r} is the same in all runs: there is nothing to explain")
    shares: dict[str, float] = {}
    for name in factors:
        shares[name] = _between(table, [name], values) / total
    for pair in combinations(factors, 2):
        shares[" × ".join(pair)] = _between(table, list(pair), values) / total - sum(shares[name] for name in pair)
    cells = _between(table, factors, values) / total
    shares[OTHER], shares[SEEDS] = cells - sum(shares.values()), 1 - cells
    return pd.Series(shares).clip(lower=0)


def levels(table: pd.DataFrame, factors: Sequence[str], response: str) -> pd.DataFrame:
    """Main effects: the mean, least and greatest `response` at each level of each factor, over all other factors."""
    rows = {
        (factor, level): (group.mean(), group.min(), group.max())
        for factor in factors
        for level, group in table.groupby(factor, sort=False, observed=True)[response]
    }
    index = pd.MultiIndex.from_tuples(rows, names=["factor", "level"])
    return pd.DataFrame(list(rows.values()), index=index, columns=["mean", "least", "greatest"])


def _between(table: pd.DataFrame, factors: list[str], values: pd.Series) -> float:
    """The sum of squares between the means of the groups that `factors` make."""
    means = values.groupby([table[name] for name in factors], observed=True).transform("mean")
    return float((means - values.mean()).pow(2).sum())
