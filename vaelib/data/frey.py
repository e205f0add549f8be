"""Frey Faces: 1,965 frames, in order, of a film of Brendan Frey's face (Roweis, Saul and Hinton, 2002); 28x20 grey."""

from __future__ import annotations

import io

import numpy as np
from numpy.typing import NDArray

from vaelib.data.errors import DataError
from vaelib.data.files import Source, read
from vaelib.data.images import ImageData, describe, random_and_time

__all__ = ["SIZES", "SOURCE", "TONGUE_OUT", "TONGUE_TRANSITION", "load", "parse_mat"]

SIZES = (1565, 200, 200)  # train, validation, test: the sizes that flow papers report on
HEIGHT, WIDTH = 28, 20

# The frames in which he puts out his tongue: first and last, counted from 0, both included. Labelled by eye, on every
# frame of the film, by one rule. Out: the tongue hangs over the middle of the lower lip, a bright round shape with its
# shadow below. In transition: next to such frames, the tongue fills the open mouth and the lower lip's edge still runs
# below it. Frames before in which the mouth only opens, dark inside, are neither.
TONGUE_OUT = ((411, 436), (1089, 1101), (1766, 1786))
TONGUE_TRANSITION = ((409, 410), (437, 440), (1087, 1088), (1102, 1103), (1764, 1765), (1787, 1789))

SOURCE = Source(
    dataset="frey",
    sha256={"frey_rawface.mat": "265a83a23adb081755cd3de375509828e690324d1d60f076b8ecebc840d59c64"},
    mirrors=(
        "https://cs.nyu.edu/~roweis/data/{name}",
        "https://raw.githubusercontent.com/vilhess/projet_meth_ia/4935816fb0a32c05a7a4d54d5945a83f1f1bd5c0/dataset/{name}",
        "https://cs.nyu.edu/home/people/in_memoriam/roweis/data/{name}",
    ),
    instead="toyfaces",
)


def load() -> ImageData:
    """All frames in their order. Neighbours are near-copies: "random" leaks them into the test part, "time" does not.

    Raises:
        DataError, MissingDataError: see `vaelib.data.files.read`.
    """
    (name,) = SOURCE.sha256
    return ImageData(
        name="frey",
        images=parse_mat(read(SOURCE, name), name),
        plans=random_and_time(SIZES),
        sha256=dict(SOURCE.sha256),
    )


def parse_mat(content: bytes, name: str) -> NDArray[np.uint8]:
    """(N, 28, 20) images from a MATLAB file whose variable ``ff`` holds a frame in each column, row after row.

    Raises:
        DataError: it is no MATLAB file, or ``ff`` is missing, not uint8 or not of 560 rows.
    """
    import scipy.io

    try:
        variables = scipy.io.loadmat(io.BytesIO(content), variable_names=["ff"])
    except Exception as error:  # scipy raises whatever its parser meets in a damaged file
        raise DataError(f"{name} is not a readable MATLAB file: {error}") from None
    if "ff" not in variables:
        raise DataError(f"{name} holds no variable 'ff', which the Frey faces are stored in")
    frames = np.asarray(variables["ff"])
    if frames.dtype != np.uint8 or frames.ndim != 2 or len(frames) != HEIGHT * WIDTH:
        raise DataError(f"ff in {name}: got {describe(frames)}, expected uint8 of shape ({HEIGHT * WIDTH}, N)")
    return np.ascontiguousarray(frames.T).reshape(-1, HEIGHT, WIDTH)
