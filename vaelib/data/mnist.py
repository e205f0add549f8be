"""MNIST: 70,000 handwritten digits of 28x28 grey pixels (LeCun, Cortes and Burges, 1998), read from its IDX files."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from vaelib.data.errors import DataError
from vaelib.data.files import Source, read
from vaelib.data.images import ImageData, Plan

__all__ = ["SOURCE", "load", "parse_idx"]

SOURCE = Source(
    dataset="mnist",
    sha256={
        "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    },
    mirrors=(
        "https://storage.googleapis.com/cvdf-datasets/mnist/{name}.gz",
        "https://ossci-datasets.s3.amazonaws.com/mnist/{name}.gz",
    ),
    instead="digits",
)


def load() -> ImageData:
    """The 60,000 training images, then the 10,000 test images; the last 10,000 of the former may serve as validation.

    Raises:
        DataError, MissingDataError: see `vaelib.data.files.read`.
    """
    arrays = [parse_idx(read(SOURCE, name), name) for name in SOURCE.sha256]
    return ImageData(
        name="mnist",
        images=np.concatenate(arrays[0::2]),
        labels=np.concatenate(arrays[1::2]).astype(np.int64),
        plans={
            "50000/10000/10000": Plan((50_000, 10_000, 10_000), shuffle=False),
            "60000/10000": Plan((60_000, 0, 10_000), shuffle=False),
        },
        sha256=dict(SOURCE.sha256),
    )


def parse_idx(content: bytes, name: str) -> NDArray[np.uint8]:
    """The array in an IDX file of unsigned bytes: two zero bytes, type 8, rank, then each size as a big-endian int32.

    Raises:
        DataError: the header or the length is not that of such a file.
    """
    rank = content[3] if len(content) > 3 else 0
    start = 4 + 4 * rank
    if content[:3] != b"\x00\x00\x08" or not rank or len(content) < start:
        raise DataError(f"{name} is not an IDX file of unsigned bytes: it begins {content[:4].hex(' ')}")
    shape = tuple(int(size) for size in np.frombuffer(content, ">u4", count=rank, offset=4))
    if len(content) - start != math.prod(shape):
        raise DataError(
            f"{name} promises {' x '.join(map(str, shape))} = {math.prod(shape)} bytes and holds {len(content) - start}"
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)
