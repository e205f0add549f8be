"""How long a fresh Python takes to import torch, and then vaelib on top of it."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys

__all__ = ["measure"]

CODE = """
import json, time
start = time.perf_counter()
import torch
middle = time.perf_counter()
import vaelib.training
print(json.dumps([middle - start, time.perf_counter() - middle]))
"""


def measure(quick: bool) -> dict[str, float]:
    """Medians over fresh processes; a first one warms the disk's cache."""
    times = [_once() for _ in range(1 if quick else 6)]
    torch_s, vaelib_s = (statistics.median(column) for column in zip(*(times[1:] or times), strict=True))
    return {"torch_s": torch_s, "vaelib_beyond_torch_s": vaelib_s}


def _once() -> list[float]:
    ran = subprocess.run([sys.executable, "-c", CODE], check=True, capture_output=True, text=True)
    return json.loads(ran.stdout)
