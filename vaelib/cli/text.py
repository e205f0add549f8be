"""Tables for terminals."""

from __future__ import annotations

import pandas as pd

from vaelib.evaluation import TITLES, signed
from vaelib.runs import Run

__all__ = ["metrics_table", "table"]


def table(rows: pd.DataFrame) -> str:
    """One line for each row below the names of all columns; what a row lacks is left empty."""
    if rows.empty:
        return ""
    return rows.to_string(index=False, na_rep="", float_format=lambda value: f"{value:.6g}")


def metrics_table(run: Run) -> str:
    """The figures of a run, a row for each part of the data; see `evaluation.signed`."""
    parts = {part: figures for part, figures in run.metrics.items() if isinstance(figures, dict)}
    rows = {
        part: {title: round(signed(key, figures[key]), 4) for key, title in TITLES.items() if key in figures}
        for part, figures in parts.items()
    }
    if not any(rows.values()):
        return f"no figures: the family {run.config.model.family!r} has no likelihood, no reconstruction and no codes"
    return pd.DataFrame.from_dict(rows, orient="index").to_string()
