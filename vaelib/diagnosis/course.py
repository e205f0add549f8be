"""What the history of a training tells: whether it was over, and whether it went on for too long."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vaelib.objectives import ObjectiveConfig
from vaelib.training import TrainingConfig

__all__ = ["course", "kept_epochs"]

LAST = 0.2  # share of the learning rate's sum over the epochs


def course(
    history: pd.DataFrame | None, objective: ObjectiveConfig | None, training: TrainingConfig | None
) -> dict[str, Any]:
    """`epochs`, `last_fifth`, `best_epoch`, `fell` and `gain` of `Evidence`, as far as `history` (a row an epoch) goes.

    All of it is read up to the epoch whose weights the model has. That is the best one after `patience`, whose running
    out also says that nothing more was to be gained: `last_fifth` is 0 then.
    """
    if history is None:
        return {}
    kept = kept_epochs(history, objective, training)
    facts: dict[str, Any] = {"epochs": kept}
    learned = _objective(history[:kept], "train", objective)
    if learned is None:
        return facts
    patience = training.patience if training else None
    if patience and len(history) - kept >= patience:
        facts["last_fifth"] = 0.0
    elif kept > 1:
        facts["last_fifth"] = _last_fifth(learned, training)
    watched = _watched(history)
    judged = None if watched is None else _objective(history[:kept], watched, objective)
    start = _warmed_up(objective)
    if judged is not None and kept > start + 1 and not (objective and objective.algorithm == "wake-sleep"):
        best = start + int(judged[start:].argmax())
        facts |= {"best_epoch": best + 1, "fell": float(judged[best] - judged[-1])}
        facts["gain"] = float(judged[best] - judged[0])
    return facts


def kept_epochs(history: pd.DataFrame, objective: ObjectiveConfig | None, training: TrainingConfig | None) -> int:
    """After how many epochs the model had its weights: all, or with `patience` those until the best held-out loss.

    The best is looked for from the end of the KL's warm-up on: until then the loss rises with beta.
    """
    watched, start = _watched(history), _warmed_up(objective)
    if not (training and training.patience) or watched is None or len(history) <= start:
        return len(history)
    return start + int(history[f"{watched}_loss"].to_numpy()[start:].argmin()) + 1


def _watched(history: pd.DataFrame) -> str | None:
    """The held-out data that `patience` watches: the first in the history."""
    names = [str(column).removesuffix("_loss") for column in history if str(column).endswith("_loss")]
    return next((name for name in names if name != "train"), None)


def _warmed_up(objective: ObjectiveConfig | None) -> int:
    """Index of the first epoch after the warm-up."""
    return math.ceil(objective.warmup_epochs) if objective else 0


def _objective(history: pd.DataFrame, name: str, objective: ObjectiveConfig | None) -> NDArray[np.float64] | None:
    """What was maximised, by epoch, in nats: -loss; under a warm-up reconstruction - beta KL, with the last beta.

    The ELBO where the objective is unknown, and for wake-sleep, whose loss has the dreams in it.
    """
    if objective is None or objective.algorithm == "wake-sleep":
        return history[f"{name}_elbo"].to_numpy() if f"{name}_elbo" in history else None
    if objective.warmup_epochs and f"{name}_kl" in history:
        return (history[f"{name}_reconstruction"] - objective.beta * history[f"{name}_kl"]).to_numpy()
    return -history[f"{name}_loss"].to_numpy() if f"{name}_loss" in history else None


def _last_fifth(maximised: NDArray[np.float64], training: TrainingConfig | None) -> float:
    """The share of the gain that the last fifth of the learning brought; under a cosine that is half of the epochs."""
    ends = np.arange(1, len(maximised) + 1)
    if training and training.schedule == "cosine":
        done = ends / training.epochs
        spent = done + np.sin(np.pi * done) / np.pi  # the integral of 1 + cos
    else:
        spent = ends.astype(float)
    start = max(0, int((spent <= (1 - LAST) * spent[-1] + 1e-9).sum()) - 1)
    total = maximised[-1] - maximised[0]
    return float((maximised[-1] - maximised[start]) / total) if total > 0 else 0.0
