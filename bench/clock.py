"""Laps of a training, and the memory that it took."""

from __future__ import annotations

import statistics
import sys
import time
from itertools import pairwise

import psutil

__all__ = ["Clock", "Enough", "memory_mb", "peak_memory_mb"]


class Enough(Exception):
    """Ends a training that has run for as many epochs as are timed."""


class Clock:
    """Notes when each epoch ends. The first epoch is the warm-up, `laps` more are timed."""

    def __init__(self, laps: int) -> None:
        self.laps = laps
        self.ends = [time.perf_counter()]

    def lap(self) -> None:
        """To be called at the end of each epoch.

        Raises:
            Enough: when all laps are run.
        """
        self.ends.append(time.perf_counter())
        if len(self.ends) > self.laps + 1:
            raise Enough

    def figures(self, images: int) -> dict[str, float]:
        """Images per second of the median epoch, and what the first one costs."""
        first, *epochs = [end - start for start, end in pairwise(self.ends)]
        median = statistics.median(epochs)
        return {
            "images_per_s": images / median,
            "epoch_s": median,
            "fastest_epoch_s": min(epochs),
            "slowest_epoch_s": max(epochs),
            "first_epoch_s": first,
            "epochs_timed": len(epochs),
        }


def memory_mb() -> float:
    """This process's resident memory now."""
    return psutil.Process().memory_info().rss / 2**20


def peak_memory_mb() -> float:
    """The most that this process's resident memory ever was."""
    if sys.platform == "win32":
        return psutil.Process().memory_info().peak_wset / 2**20
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
