"""Runs per minute of a sweep over small runs, from an empty store, the start of its processes included."""

from __future__ import annotations

import os
import tempfile
import time
from typing import Any

from vaebook.experiments.recipes import faces_recipe
from vaelib.data import DataConfig, load
from vaelib.store import RUNS_DIR_VARIABLE
from vaelib.sweeps import train_all

__all__ = ["measure"]

DATASET = "toyfaces"  # bundled, and of Frey's size: the same on every machine


def measure(jobs: int, quick: bool) -> dict[str, Any]:
    runs, epochs = (2, 1) if quick else (12, 100)
    load(DATASET)
    data = DataConfig(name=DATASET)
    configs = [faces_recipe("modern", data, seed=seed, epochs=epochs) for seed in range(runs)]
    with tempfile.TemporaryDirectory() as store:
        os.environ[RUNS_DIR_VARIABLE] = store
        start = time.perf_counter()
        train_all(configs, jobs=jobs)
        seconds = time.perf_counter() - start
    return {"runs_per_minute": 60 * runs / seconds, "jobs": jobs, "runs": runs, "epochs": epochs}
