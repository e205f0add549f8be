"""Tables for terminals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from vaelib.figures import TITLES, signed

__all__ = ["duration", "metrics_table", "table"]


def table(rows: pd.DataFrame) -> str:
    """One line for each row below the names of all columns; what a row lacks is left empty."""
    if rows.empty:
        return ""
    return rows.to_string(index=False, na_rep="", float_format=lambda value: f"{value:.6g}")


def duration(seconds: float) -> str:
    """Below a minute in seconds: "3.2 s", else "12.5 min"."""
    return f"{seconds:.1f} s" if seconds < 60 else f"{seconds / 60:.1f} min"


def metrics_table(metrics: Mapping[str, Any], family: str) -> str:
    """The figures of a run, a row for each part of the data; see `figures.signed`."""
    parts = {part: found for part, found in metrics.items() if isinstance(found, dict)}
    rows = {
        part: {title: round(signed(key, found[key]), 4) for key, title in TITLES.items() if key in found}
        for part, found in parts.items()
    }
    if not any(rows.values()):
        return f"no figures: the family {family!r} has no likelihood, no reconstruction and no codes"
    return pd.DataFrame.from_dict(rows, orient="index").to_string()
