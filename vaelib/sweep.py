"""Many runs at once: one process a core, one thread a process."""

from __future__ import annotations

import os
from collections.abc import Iterable

import joblib
import torch

from vaelib.progress import bar
from vaelib.runs import Run, RunConfig, load, run_directory, train_or_load

__all__ = ["train_all"]


def train_all(configs: Iterable[RunConfig], jobs: int | None = None) -> list[Run]:
    """The finished runs of `configs`, in their order; those not in the store are trained, `jobs` at a time.

    `jobs` is by default the number of cores. Each run trains with one thread, so that a run's bits do not depend on how
    many run beside it; two one-thread processes also do more work than one with two threads.
    """
    configs = list(configs)
    jobs = jobs or os.cpu_count() or 1
    missing = [config for config in dict.fromkeys(configs) if not run_directory(config).exists()]
    tasks = (joblib.delayed(_train_quietly)(config) for config in missing)
    finished = joblib.Parallel(n_jobs=min(jobs, max(1, len(missing))), return_as="generator_unordered")(tasks)
    for _ in bar(finished, total=len(missing), desc="runs", unit="run"):
        pass
    return [load(run_directory(config)) for config in configs]


def _train_quietly(config: RunConfig) -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        train_or_load(config, progress=False)
    finally:
        torch.set_num_threads(threads)
