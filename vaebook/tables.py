"""Tables of runs: a figure is the mean over seeds, with the smallest and the largest beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from vaelib.evaluation import TITLES, signed
from vaelib.runs import Run

__all__ = ["final_table", "mean_and_range", "progress_table", "recipe_table"]

DIGITS = {"elbo": 1, "bits_per_dim": 2, "reconstruction": 1, "kl": 1, "squared_error": 2, "active_units": 0}


def mean_and_range(values: Sequence[float], digits: int = 2) -> str:
    """The mean and the range: ``−95.91 (−96.02 to −95.80)``, with true minus signs; one value stands alone."""
    low, mean, high = min(values), float(np.mean(values)), max(values)
    shown = [f"{round(value, digits) + 0.0:.{digits}f}" for value in (mean, low, high)]  # + 0.0: no zero below zero
    return (shown[0] + (f" ({shown[1]} to {shown[2]})" if len(values) > 1 else "")).replace("-", "−")


def final_table(
    runs: Mapping[str, Sequence[Run]], figures: Sequence[str] | None = None, part: str = "test"
) -> pd.DataFrame:
    """One row for each group of runs (the seeds of one recipe), one column for each figure of its finished models.

    `figures` None takes all that every run has, but for the reconstruction, which is ELBO + KL.
    """
    everywhere = set.intersection(*(set(run.metrics[part]) for group in runs.values() for run in group))
    if figures is None:
        figures = [figure for figure in DIGITS if figure in everywhere - {"reconstruction"}]
    rows = {}
    for name, group in runs.items():
        found = {figure: [signed(figure, run.metrics[part][figure]) for run in group] for figure in figures}
        cells = {TITLES[figure]: mean_and_range(values, DIGITS[figure]) for figure, values in found.items()}
        rows[name] = cells | {"seeds": len(group)}
    return pd.DataFrame.from_dict(rows, orient="index")


def progress_table(
    runs: Mapping[str, Sequence[Run]], epochs: Sequence[int], column: str = "test_elbo", digits: int = 1
) -> pd.DataFrame:
    """What -ELBO to expect after so many epochs: one row for each epoch, one column for each group of runs."""
    table = {}
    for name, group in runs.items():
        histories = [-run.history.set_index("epoch")[column] for run in group]
        reached = min(len(history) for history in histories)
        table[name] = {n: mean_and_range([h[n] for h in histories], digits) for n in epochs if n <= reached}
    return pd.DataFrame(table).sort_index().rename_axis("epochs").fillna("")


def recipe_table(runs: Mapping[str, Sequence[Run]]) -> pd.DataFrame:
    """What distinguishes groups of runs: network, optimiser, step and length."""
    rows = {}
    for name, group in runs.items():
        model, training = group[0].config.model, group[0].config.training
        rows[name] = {
            "hidden layers": " + ".join(map(str, model.hidden)),
            "activation": model.activation,
            "optimiser": training.optimiser.capitalize(),
            "step": f"{training.learning_rate:g}" + (" to 0, cosine" if training.schedule == "cosine" else ""),
            "batch": training.batch_size,
            "epochs": training.epochs,
        }
    return pd.DataFrame.from_dict(rows, orient="index")
