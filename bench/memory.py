"""This process's resident memory."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path

import psutil

__all__ = ["Memory"]

FORGET, STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")


class Memory:
    """Notes the memory in use when it is made, and tells the peak since then.

    Only Linux can forget an earlier peak; elsewhere it is that since the process started, loading the data included.
    """

    def __init__(self) -> None:
        self.before = psutil.Process().memory_info().rss / 2**20
        if sys.platform == "linux":
            with suppress(OSError):  # some containers do not allow it
                FORGET.write_text("5")  # man 5 proc: resets the peak

    def figures(self) -> dict[str, float]:
        """In MB (2^20 bytes)."""
        return {"peak_memory_mb": max(_peak(), self.before), "memory_before_mb": self.before}


def _peak() -> float:
    if sys.platform == "linux":
        lines = STATUS.read_text(encoding="ascii", errors="replace").splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 2**10
    if sys.platform == "win32":
        return psutil.Process().memory_info().peak_wset / 2**20
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
