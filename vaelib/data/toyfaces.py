"""Toy faces: a made-up film of 1,965 frames of 28x20 pixels whose true factors are known. Stands in for Frey Faces.

A head turns (pose), a lamp moves from left to right (light), the eyes look about (gaze) and the mouth smiles or sulks
(smile), each in smooth random motion. In three short runs, 74 frames in all, the tongue comes out: a rare mode, as in
the film of Brendan Frey, and like there the last run lies among the last 200 frames.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vaelib.data.images import ImageData, random_and_time, sha256_of

__all__ = ["draw", "load", "motion"]

Array = NDArray[Any]  # float64 throughout

HEIGHT, WIDTH = 28, 20  # pixels; like SIZES, those of the Frey Faces
SIZES = (1565, 200, 200)  # train, validation, test: what flow papers report on
FRAMES = sum(SIZES)
PACE = {"pose": 8.0, "light": 16.0, "gaze": 4.0, "smile": 6.0}  # frames over which a factor keeps its value
TONGUE_RUNS = ((200, 600, 28), (850, 1350, 22), (1780, 1920, 24))  # each begins between the first two; its length
NOISE = 2.0  # the camera's standard deviation, grey levels
HEAD, RADIUS = (8.3, 12.2), 8.4  # half axes of the head and radius of its turning cylinder, pixels


def load(seed: int = 0) -> ImageData:
    """The film that a seed makes, with the factors that drew each frame."""
    random = np.random.default_rng(seed)
    factors = motion(random)
    noise = NOISE * random.standard_normal((FRAMES, HEIGHT, WIDTH))
    images = np.rint(np.clip(255 * draw(**factors) + noise, 0, 255)).astype(np.uint8)
    plans, hashes = random_and_time(SIZES), {"images": sha256_of(images)}
    return ImageData("toyfaces", images, plans, stand_in_for="frey", sha256=hashes, factors=factors)


def motion(random: np.random.Generator) -> dict[str, Array]:
    """The factors of each frame, (1965,) each: pose, light, gaze and smile in (-1, 1), tongue in [0, 1]."""
    factors = {name: _wander(random, pace) for name, pace in PACE.items()}
    tongue = np.zeros(FRAMES)
    for first, last, length in TONGUE_RUNS:
        start = random.integers(first, last - length)
        ramp = np.arange(1, length + 1) / 4  # out and in again within four frames
        tongue[start : start + length] = np.minimum(1, np.minimum(ramp, ramp[::-1]))
    return factors | {"tongue": tongue}


def _wander(random: np.random.Generator, pace: float) -> Array:
    """Gaussian noise smoothed over `pace` frames, of unit variance, squashed into (-1, 1)."""
    reach = round(3 * pace)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / pace) ** 2)
    path = np.convolve(random.standard_normal(FRAMES + 2 * reach), weights / np.sqrt(np.sum(weights**2)), "valid")
    return np.asarray(path / np.sqrt(1 + path**2))


def draw(pose: ArrayLike, light: ArrayLike, gaze: ArrayLike, smile: ArrayLike, tongue: ArrayLike) -> Array:
    """Faces without noise: (n, 28, 20) in [0, 1] from factors of shape (n,), or scalars to be held fixed.

    Flat shades of grey are painted over one another, back to front; the lamp lights the finished head.
    """
    factors = np.broadcast_arrays(*(np.atleast_1d(np.asarray(f, float)) for f in (pose, light, gaze, smile, tongue)))
    pose, light, gaze, smile, tongue = (factor[:, None, None] for factor in factors)
    y = np.arange(HEIGHT)[:, None] - (HEIGHT - 2.5) / 2  # (H, 1), pixels from the head's middle, down
    x = np.arange(WIDTH)[None, :] - (WIDTH - 1) / 2 - 0.6 * pose  # (n, 1, W), pixels from the head's axis

    def across(at: float, depth: float = 0.0) -> tuple[Array, Array]:
        """Where a point of the head appears and how much its width shrinks, when the head turns."""
        angle = np.arcsin(at / RADIUS) + 0.35 * pose
        return (RADIUS + depth) * np.sin(angle), np.cos(angle) * RADIUS / np.sqrt(RADIUS**2 - at**2)

    shape = np.broadcast_shapes(x.shape, y.shape)
    face = np.full(shape, 0.84)
    parting = np.abs(x - across(0.0)[0] - 2.5)
    paint(face, edge(y + 8.6 - 0.075 * (x - across(0.0)[0]) ** 2 - 0.25 * parting), 0.14)  # hair
    for side in (-3.5, 3.5):
        _eye(face, x, y + 0.9, *across(side), gaze, smile)
    tip = x - across(0.0, depth=1.2)[0]
    paint(face, ellipse(tip, y - 3.3, 1.9, 0.8), 0.50)  # below the nose
    paint(face, ellipse(tip, y - 1.6, 1.0, 2.0), 0.93)  # nose
    _mouth(face, x, y - 5.8, *across(0.0), smile, tongue)

    canvas = np.full(shape, 0.38)
    paint(canvas, ellipse(x + 0.6 * pose, y - 16.5, 11.5, 4.6), 0.16)  # shoulders
    paint(canvas, ellipse(x, y - 12, 4.5, 3.0), 0.50)  # neck
    for side in (-1, 1):
        paint(canvas, ellipse(x - side * 8.2 + 0.8 * pose, y - 0.5, 1.4, 2.4), 0.66)  # ears
    paint(canvas, ellipse(x, y, *HEAD), face * _lamp(x, y, light))
    return np.clip(canvas, 0, 1)


def _eye(face: Array, x: Array, y: Array, middle: Array, narrowing: Array, gaze: Array, smile: Array) -> None:
    x = (x - middle) / narrowing
    white = ellipse(x, y, 2.3, 1.3 - 0.2 * smile)
    paint(face, white, 1.0)
    paint(face, white * ellipse(x - 1.2 * gaze, y, 1.1, 1.4), 0.04)
    paint(face, stroke(x, y + 1.4 - 0.12 * x**2, 2.4, 0.35), 0.35)  # lid
    paint(face, stroke(x, y + 3.5 - 0.10 * x**2 + 0.3 * smile, 2.5, 0.5), 0.22)  # brow


def _mouth(face: Array, x: Array, y: Array, middle: Array, narrowing: Array, smile: Array, tongue: Array) -> None:
    x = (x - middle) / narrowing
    half = 3.6 + 0.6 * smile
    grin = np.maximum(smile, 0)
    bend = (1.2 * smile + 0.6 * grin) * (1 - 0.4 * tongue)
    y = y + bend * ((x / half) ** 2 - 0.4)  # measured from the bent line between the lips
    paint(face, ellipse(x, y, half, 0.8 + 1.0 * grin + 0.7 * tongue), 0.18)
    paint(face, ellipse(x, y + 0.1, half - 1.0, 0.1 + 0.8 * grin) * np.minimum(1, 3 * grin), 0.95)  # teeth
    length = 2.3 * tongue
    shown = np.minimum(1, 3 * tongue)
    paint(face, ellipse(x, y - length - 0.2, 2.6, 0.5 + length) * shown, 0.28)
    paint(face, ellipse(x, y - length, 1.9, 0.1 + length) * shown, 0.70)  # tongue
    paint(face, stroke(x, y - length + 0.4, 0.3, 1.3) * tongue, 0.52)


def _lamp(x: Array, y: Array, light: Array) -> Array:
    """How bright a lamp from the left (-1) to the right (1), a little above, makes the rounded head."""
    normal_x, normal_y = x / (HEAD[0] + 1), y / (HEAD[1] + 1)
    normal_z = np.sqrt(np.maximum(0, 1 - normal_x**2 - normal_y**2))
    lamp_x, lamp_y = 0.8 * light, -0.3
    facing = normal_x * lamp_x + normal_y * lamp_y + normal_z * np.sqrt(1 - lamp_x**2 - lamp_y**2)
    return np.asarray(0.42 + 0.68 * np.maximum(0, facing))


def paint(canvas: Array, cover: Array, grey: float | Array) -> None:
    """Lays a shade of grey over the canvas, in place, where `cover` (0 to 1) says."""
    canvas += cover * (grey - canvas)


def edge(distance: Array) -> Array:
    """How much of a pixel is covered by a shape whose border is `distance` pixels away, negative inside."""
    return np.clip(0.5 - distance, 0, 1)


def ellipse(x: Array, y: Array, half_width: float | Array, half_height: float | Array) -> Array:
    """How much each pixel is covered by an ellipse about the origin."""
    radius = np.sqrt((x / half_width) ** 2 + (y / half_height) ** 2)
    return edge((radius - 1) * np.maximum(0.5, np.minimum(half_width, half_height)))


def stroke(x: Array, y: Array, half_width: float, half_thickness: float) -> Array:
    """How much each pixel is covered by a horizontal stroke about the origin."""
    return edge(np.abs(x) - half_width) * edge(np.abs(y) - half_thickness)
