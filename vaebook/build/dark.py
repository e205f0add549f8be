"""A Sphinx extension: each figure and film gets a twin for the dark, light ink on a dark card, its photos unchanged.

Figures are ink on paper (vaelib/vaelib.mplstyle). The twin inverts the lightness of every colour and keeps its hue,
but in rectangles that hold a picture, a map of colours or its bar: there nothing changes, and what a caption calls dark
is dark.
`assets/book.js` shows the one that suits the theme.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageSequence
from scipy import ndimage

if TYPE_CHECKING:
    from sphinx.application import Sphinx

__all__ = ["darkened", "darkened_film", "pictures_in", "setup", "with_twins"]

PAPER = (251, 250, 246)  # figure.facecolor of the style
DARKEST, LIGHTEST = 28, 236  # the range of the inverted colours: paper becomes nearly the page's own dark
GROUND = 252  # the least value of the ground of a film, which is white
BEND = 1.6  # lightness l becomes 1 - l^1.6: colours of medium lightness are lighter in the dark than on paper
# The least lightness of a full colour, as pale blue would be dim, and the difference of its values that makes it full.
BRIGHT = (0.62, 100)
SIDES = (8, 40)  # pixels: a picture is no smaller; a letter is
CORE = 13  # pixels: the side of a square that fits into a grey picture, though lines cross it
SPREAD = 6  # standard deviation of the lightness, from 0 to 255: a bar and a band are flat, a picture is not
GREY = 12  # the largest difference of the three values of a grey pixel
MAP = 100  # pixels: the least side of a map of colours, which ticks and lines may touch
TINT = 190  # the median lightness above which a rectangle is no map, but a tinted band behind lines
COLOURS = 20  # the fewest colours of a map, at 16 levels; the bar of a chart has one or two
SCALE = (9, 4, 8)  # the bar of a map: its least side in pixels, its sides' least ratio, the fewest colours along it
WHITE = 225  # a box of text, white or tinted, has little below this lightness, a picture much
STILL = 0.9  # the share of a film's frames in which a pixel is one of a picture: a cloud of dots moves on
FIGURE = re.compile(r'<img\b[^>]*?\bsrc="((?:\.\./)*_images/([^"/]+)\.(png|gif))"')


def setup(app: Sphinx) -> dict[str, bool]:
    """What Sphinx calls."""
    app.connect("build-finished", _finish)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def darkened(figure: Image.Image) -> Image.Image:
    """The twin of a figure on paper."""
    pixels = np.asarray(figure.convert("RGB")).astype(int)  # (H, W, 3)
    return _turned(pixels, pictures_in(pixels))


def darkened_film(film: Image.Image) -> list[Image.Image]:
    """The frames of the twin of a film on white: what is a picture all along stays."""
    frames = [np.asarray(frame.convert("RGB")).astype(int) for frame in ImageSequence.Iterator(film)]
    frames = [np.where(frame.min(-1, keepdims=True) >= GROUND, PAPER, frame) for frame in frames]
    kept = np.mean([pictures_in(frame) for frame in frames], axis=0) >= STILL
    return [_turned(frame, kept) for frame in frames]


def _turned(pixels: NDArray[np.int_], kept: NDArray[np.bool_]) -> Image.Image:
    most, least = pixels.max(-1, keepdims=True), pixels.min(-1, keepdims=True)
    lightness = (most + least) / 2
    bright = BRIGHT[0] * np.minimum(1, (most - least) / BRIGHT[1])
    turned = np.clip(pixels - lightness + 255 * np.maximum(1 - (lightness / 255) ** BEND, bright), 0, 255)
    turned = DARKEST + turned * (LIGHTEST - DARKEST) / 255
    whole = np.where(kept[..., None], pixels, turned)
    return Image.fromarray(whole.astype(np.uint8)).quantize(256, method=Image.Quantize.MEDIANCUT)


def pictures_in(pixels: NDArray[np.int_]) -> NDArray[np.bool_]:
    """Where a figure's (H, W, 3) pixels belong to a picture: a full rectangle, or an area of grey, that is not flat.

    What a picture encloses belongs to it, in the colour of the paper too.
    """
    drawn = (np.abs(pixels - PAPER).max(-1) > 2) | (np.ptp(pixels, -1) == 0)  # paper has a tint, a light grey has none
    lightness = pixels.mean(-1)
    found = np.zeros(drawn.shape, bool)
    labels, _ = ndimage.label(drawn, np.ones((3, 3)))
    for place in ndimage.find_objects(labels):
        part = drawn[place]
        border = np.concatenate([part[0], part[-1], part[:, 0], part[:, -1]])
        large = min(part.shape) >= SIDES[0] and max(part.shape) >= SIDES[1]
        if large and part.mean() > 0.5 and border.mean() > 0.8 and _has_shades(lightness[place][part]):
            found[place] |= part
    grey = drawn & (np.ptp(pixels, -1) <= GREY)
    core = ndimage.minimum_filter(grey, CORE, mode="constant")  # row by row, then column by column: an opening, quickly
    labels, _ = ndimage.label(ndimage.maximum_filter(core, CORE, mode="constant"))
    for number, place in enumerate(ndimage.find_objects(labels), 1):
        part = labels[place] == number
        if _has_shades(lightness[place][part]):
            found[place] |= part
    return ndimage.binary_fill_holes(found | _maps_in(pixels, drawn) | _scales_in(pixels, drawn))


def _has_shades(lightness: NDArray[np.float64]) -> bool:
    """Whether pixels are neither flat nor a light box with some text in it."""
    return bool(lightness.std() > SPREAD and np.percentile(lightness, 25) < WHITE)


def _maps_in(pixels: NDArray[np.int_], drawn: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Where many colours fill a rectangle, whatever touches it from outside."""
    found = np.zeros(drawn.shape, bool)
    core = ndimage.minimum_filter(drawn, 2 * CORE, mode="constant")
    labels, _ = ndimage.label(ndimage.maximum_filter(core, 2 * CORE, mode="constant", origin=-1))
    for number, place in enumerate(ndimage.find_objects(labels), 1):
        part = labels[place] == number
        if min(part.shape) < MAP or part.mean() < 0.98:
            continue
        colours = pixels[place][part]
        if np.median(colours.mean(-1)) < TINT and len(np.unique(colours // 16, axis=0)) >= COLOURS:
            found[place] |= part
    return found


def _scales_in(pixels: NDArray[np.int_], drawn: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Where the bars of maps are: long, full, and the colour changes along them, but not across."""
    found = np.zeros(drawn.shape, bool)
    side, ratio, fewest = SCALE
    core = ndimage.minimum_filter(drawn, side, mode="constant")
    labels, _ = ndimage.label(ndimage.maximum_filter(core, side, mode="constant"))
    for number, place in enumerate(ndimage.find_objects(labels), 1):
        part = labels[place] == number
        if max(part.shape) < ratio * min(part.shape) or part.mean() < 0.98:
            continue
        bar = pixels[place] if part.shape[1] > part.shape[0] else pixels[place].swapaxes(0, 1)
        bar = bar[2:-2, 2:-2]  # without its outline
        if len(np.unique(bar[len(bar) // 2] // 16, axis=0)) >= fewest and np.ptp(bar, 0).mean() < GREY:
            found[place] |= part
    return found


def with_twins(html: str, images: Path) -> str:
    """A page whose figures on paper name their twins; makes those that are missing, beside them in `images`."""

    def named(match: re.Match[str]) -> str:
        whole, source, name, kind = match[0], match[1], match[2], match[3]
        light, dark = images / f"{name}.{kind}", images / f"{name}.dark.{kind}"
        if not light.exists() or not _on_paper(light):
            return whole
        if not dark.exists():
            _save_twin(Image.open(light), dark)
        return f'{whole} data-dark="{source.removesuffix(kind)}dark.{kind}"'

    return FIGURE.sub(named, html)


def _save_twin(light: Image.Image, path: Path) -> None:
    if path.suffix == ".png":
        return darkened(light).save(path)
    first, *others = darkened_film(light)
    times = [frame.info.get("duration", 0) for frame in ImageSequence.Iterator(light)]
    first.save(path, save_all=True, append_images=others, duration=times, loop=light.info.get("loop", 0))


def _on_paper(path: Path) -> bool:
    with Image.open(path) as figure:
        corner = figure.convert("RGB").getpixel((0, 0))
    if path.suffix == ".gif":
        return min(corner) >= GROUND
    return max(abs(a - b) for a, b in zip(corner, PAPER, strict=True)) <= 3


def _finish(app: Sphinx, error: Exception | None) -> None:
    if error is None and app.builder.format == "html":
        for page in Path(app.outdir).rglob("*.html"):
            html = page.read_text(encoding="utf-8")
            page.write_text(with_twins(html, Path(app.outdir, "_images")), encoding="utf-8")
