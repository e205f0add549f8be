"""What else the machine is busy with: a figure taken beside other work says nothing."""

from __future__ import annotations

import time

import psutil

__all__ = ["Others"]


class Others:
    """Tells how many cores all other processes, or the machine's host, used on average since it was made."""

    def __init__(self) -> None:
        self.start, self.busy = time.perf_counter(), _busy_elsewhere()

    def cores(self) -> float:
        return max(0.0, _busy_elsewhere() - self.busy) / (time.perf_counter() - self.start)


def _busy_elsewhere() -> float:
    """Processor seconds since the start, all cores together, but for this process's own."""
    machine, own = psutil.cpu_times()._asdict(), psutil.Process().cpu_times()
    idle = ("idle", "iowait", "guest", "guest_nice")  # what guests use is counted as the user's already
    return sum(seconds for kind, seconds in machine.items() if kind not in idle) - own.user - own.system
