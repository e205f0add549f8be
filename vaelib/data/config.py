"""The data of a run: which set, cut how, with grey or binary pixels; and the matrices that come of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from vaelib.config import Config
from vaelib.data.images import ImageData, Split, binarise
from vaelib.data.registry import load

__all__ = ["DataConfig", "Prepared", "prepare"]


class DataConfig(Config):
    """Which data a run learns from.

    Attributes:
        name: a data set's name, or a path to the user's own images (see `load`).
        split: a name out of the data set's `splits`; None for its first.
        split_seed: the seed of the "random" split and of static binarisation.
        pixels: "grey"; "static", binarised once, here; "dynamic", binarised anew in each batch, by the training.
    """

    name: str = Field(default="mnist", min_length=1)
    split: str | None = None
    split_seed: int = Field(default=0, ge=0)
    pixels: Literal["grey", "static", "dynamic"] = "grey"


@dataclass(frozen=True, eq=False)
class Prepared:
    """Data ready for training: (n, D) float32 matrices in [0, 1], and the indices that their rows have in `data`."""

    data: ImageData
    train: NDArray[np.float32]
    validation: NDArray[np.float32]
    test: NDArray[np.float32]
    split: Split


def prepare(config: DataConfig) -> Prepared:
    """Loads, splits and scales the data. Statically binarised, an image has the same pixels whichever part it is in.

    Raises:
        ConfigError: unknown name of a data set or of a split. DataError: the data cannot be had or used.
    """
    data = load(config.name)
    split = data.split(config.split, config.split_seed)
    if config.pixels == "static":
        binary = binarise(data.matrix(), config.split_seed)
        train, validation, test = (binary[part] for part in split)
    else:
        train, validation, test = (data.matrix(part) for part in split)
    return Prepared(data, train, validation, test, split)
