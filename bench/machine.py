"""The machine and the versions that the figures belong to."""

from __future__ import annotations

import importlib.metadata
import platform
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import psutil
import torch

__all__ = ["measure"]


def measure() -> dict[str, Any]:
    return {
        "cpu": _cpu(),
        "cores": psutil.cpu_count() or 1,
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
        "platform": platform.platform(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "pythae": importlib.metadata.version("pythae"),
        "vaelib": importlib.metadata.version("vaelib"),
        "threads": torch.get_num_threads(),
        "load_before": round(psutil.getloadavg()[0], 2),
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
    }


def _cpu() -> str:
    """The processor's own name, where the system tells it."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
