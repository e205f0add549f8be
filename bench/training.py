"""One contender at one work: images per second, the cost of its first epoch, its memory."""

from __future__ import annotations

import importlib
from typing import Any

import torch

from bench.clock import Clock, Enough
from bench.memory import Memory
from bench.others import Others
from bench.works import CONTENDERS, QUICK_LAPS, WORKS, images

__all__ = ["measure"]


def measure(work_name: str, contender: str, quick: bool) -> dict[str, Any]:
    work = WORKS[work_name]
    train = importlib.import_module(f"bench.{CONTENDERS[contender]}").train
    pixels, data = images(work, quick)
    x = torch.from_numpy(pixels)
    torch.manual_seed(0)
    memory, others = Memory(), Others()
    clock = Clock(QUICK_LAPS if quick else work.laps)
    try:
        train(work, x, clock)
    except Enough:
        measured = {**clock.figures(len(x)), **memory.figures(), "other_cores": others.cores()}
        return {**measured, "images": len(x), "data": data}
    raise RuntimeError(f"{contender} ended its training of {work_name} before {clock.laps + 1} epochs were timed")
