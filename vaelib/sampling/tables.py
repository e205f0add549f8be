"""Judgements of groups of runs as tables: a row for each run, or a row for each group with the range over its seeds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from vaelib.runs import Run
from vaelib.sampling.of_runs import judged_all
from vaelib.tables import spread

__all__ = ["judgement_table", "judgements"]

COLUMNS = {
    "tongue": "tongue out (%)",
    "coverage": "coverage",
    "coverage_on_tongue": "of tongue frames",
    "coverage_on_test": "of held-out frames",
    "density": "density",
    "density_on_tongue": "on tongue frames",
    "variety": "variety",
    "distance": "distance to nearest",
    "distance_to_test": "to nearest held-out",
    "copying": "copying",
}


def judgements(runs: Sequence[Run], repair: str | int = "none") -> pd.DataFrame:
    """One row for each run, with the fields of `Judgement` as its columns."""
    found = judged_all([(run, repair) for run in runs])
    return pd.DataFrame([one._asdict() for one in found], index=[run.config.seed for run in runs])


def judgement_table(
    groups: Mapping[str, tuple[Sequence[Run], str | int]],
    figures: Sequence[str] = ("tongue", "coverage", "coverage_on_tongue", "density", "variety"),
) -> pd.DataFrame:
    """One row for each group, a name -> (runs, repair), with the mean over its runs and the range in brackets."""
    judged_all([(run, repair) for runs, repair in groups.values() for run in runs])  # together: on all cores
    rows = {}
    for name, (runs, repair) in groups.items():
        found = judgements(runs, repair)
        cells = {figure: found[figure] * (100 if figure == "tongue" else 1) for figure in figures}
        rows[name] = {COLUMNS[figure]: spread(list(values), 2) for figure, values in cells.items()} | {
            "seeds": len(runs)
        }
    return pd.DataFrame.from_dict(rows, orient="index")
