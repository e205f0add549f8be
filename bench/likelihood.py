"""The importance-sampled likelihood: images * samples per second, beside the products of its decoder alone."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

from bench.limit import forward
from bench.memory import Memory
from bench.others import Others
from bench.with_vaelib import model_config
from bench.works import WORKS, images
from vaelib.evaluation import log_likelihood
from vaelib.models import VAE

__all__ = ["measure"]

WORK = WORKS["large"]
REPEATS = 3
ROWS = (512, 2048, 8192)  # latent vectors decoded at once; the limit is that of the best


def measure(quick: bool) -> dict[str, Any]:
    count, samples = (50, 20) if quick else (1000, 500)
    pixels, data = images(WORK, quick)
    x = torch.from_numpy(pixels[:count])
    torch.manual_seed(0)
    model = VAE(model_config(WORK), (WORK.pixels,))
    memory, others = Memory(), Others()
    seconds = _median_seconds(lambda: log_likelihood(model, x, samples, progress=False))
    vaelib = {"images_samples_per_s": count * samples / seconds, **memory.figures()}
    limits = {rows: _decodes_per_s(rows, count * samples) for rows in ROWS}
    rows = max(limits, key=lambda rows: limits[rows])
    limit = {"images_samples_per_s": limits[rows], "rows": rows}
    what = {"images": count, "samples": samples, "data": data, "other_cores": others.cores()}
    return {"vaelib": vaelib, "limit": limit, **what}


def _decodes_per_s(rows: int, wanted: int) -> float:
    products = forward(WORK.decoder(), rows)
    passes = -(-wanted // rows)

    def decode() -> None:
        for _ in range(passes):
            for a, b, room in products:
                torch.mm(a, b, out=room)

    return passes * rows / _median_seconds(decode)


def _median_seconds(work: Callable[[], object]) -> float:
    """Of a few repeats, after one to warm up."""
    seconds = []
    for _ in range(REPEATS + 1):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds[1:])
