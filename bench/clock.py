"""Laps of a training."""

from __future__ import annotations

import statistics
import time
from itertools import pairwise

__all__ = ["Clock", "Enough"]


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
