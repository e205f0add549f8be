"""Walks through latent space, and pictures that move."""

from __future__ import annotations

import io
from collections.abc import Iterable
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import ArrayLike
from PIL import Image
from torch import Tensor

__all__ = ["gif", "walk"]

GREYS = 32  # so few that the file stays small, so many that the eye sees no steps


def walk(stations: Tensor, steps: int, *, closed: bool = False, pause: int = 0) -> Tensor:
    """Straight lines from each code to the next, in `steps` steps each: (K, ..., Z) -> (T, ..., Z).

    Steps are small near the stations and largest half-way; each station is held for `pause` more. The walk ends at the
    last station, or when `closed` one step before the first.

    Raises:
        ValueError: fewer than two stations, or no steps.
    """
    if len(stations) < 2 or steps < 1:
        raise ValueError(f"a walk needs two stations and a step or more, not {len(stations)} and {steps}")
    ends = torch.cat([stations, stations[:1]]) if closed else stations
    way = torch.cat([torch.zeros(pause), 0.5 - 0.5 * torch.cos(torch.pi * torch.arange(steps) / steps)])
    codes = [torch.lerp(start, end, t.item()) for start, end in pairwise(ends) for t in way]
    return torch.stack(codes if closed else [*codes, ends[-1]])


def gif(sheets: Iterable[ArrayLike], milliseconds: int = 100, paper: float = 1.0) -> bytes:
    """A GIF that repeats for ever, one picture for each sheet (H, W) of greys in [0, 1]; NaN becomes `paper`."""
    pictures = [
        Image.fromarray(np.rint(np.nan_to_num(np.asarray(sheet), nan=paper).clip(0, 1) * (GREYS - 1)).astype(np.uint8))
        for sheet in sheets
    ]
    palette = np.repeat(np.rint(np.linspace(0, 255, GREYS)).astype(np.uint8), 3).tobytes()
    for picture in pictures:
        picture.putpalette(palette)
    file = io.BytesIO()
    first, *others = pictures
    first.save(file, "GIF", save_all=True, append_images=others, duration=milliseconds, loop=0, optimize=False)
    return file.getvalue()
