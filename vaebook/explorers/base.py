"""What the explorers share: script, style and still picture, and what they tell the page of a run."""

import base64
import io
import json
import math
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import anywidget
import matplotlib.pyplot as plt
import numpy as np
import torch
import traitlets
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from vaelib.config import ConfigError
from vaelib.data import Prepared
from vaelib.plots import STYLE_FILE, image_grid
from vaelib.runs import Run

__all__ = ["SCRIPTS", "Explorer", "LatentExplorer", "as_bytes", "card", "examples", "packed", "training_images"]

SCRIPTS = Path(__file__).parent / "js"
WORDS = json.loads((SCRIPTS / "words.json").read_text(encoding="utf-8"))
THUMBNAILS = 10
TITLES = {"mnist": "MNIST", "frey": "Frey Faces"}


def packed() -> traitlets.Bytes:
    """A trait of bytes that the page gets deflated (`inflated` in js/network.mjs): a sixth less for weights."""
    return traitlets.Bytes().tag(sync=True, to_json=lambda content, widget: zlib.compress(content, 9))


class Explorer(anywidget.AnyWidget):
    """A card on the page that shows a trained model at work. `spec` is all that its script must know, for JSON."""

    _esm = (SCRIPTS / "explorers.js").read_text(encoding="utf-8")  # made by js/bundle.sh
    _css = (SCRIPTS / "explorers.css").read_text(encoding="utf-8")
    spec = traitlets.Dict().tag(sync=True)
    run = traitlets.Instance(Run)
    last: int  # the largest number of a stop or a draw, where it has such
    inches = 3.6  # the height of its still picture

    def still(self) -> bytes:
        """A PNG of what it shows now, for paper and wherever no script runs."""
        content = io.BytesIO()
        with plt.style.context(STYLE_FILE):
            figure = Figure(figsize=(7, self.inches), layout="constrained")
            self.draw_on(figure)
            figure.savefig(content, format="png", dpi=120)
        return content.getvalue()

    def draw_on(self, figure: Figure) -> None:
        """Draws what it shows now."""
        raise NotImplementedError

    def _repr_mimebundle_(self, **kwargs: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        data, metadata = super()._repr_mimebundle_(**kwargs) or ({}, {})
        return {**data, "image/png": base64.b64encode(self.still()).decode()}, metadata

    @property
    def megabytes(self) -> float:
        """What this explorer adds to a page, which holds bytes as base64."""
        state = {**self.get_state(), "_css": ""}  # the style is the same for all
        sizes = (4 / 3 * len(v) if isinstance(v, bytes | memoryview) else len(json.dumps(v)) for v in state.values())
        return sum(sizes) / 1e6

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.spec['title']}>"

    @traitlets.validate("index", "drawn")
    def _counted(self, proposal: Any) -> int:
        if not 0 <= proposal["value"] <= self.last:
            raise traitlets.TraitError(f"{proposal['trait'].name} must be 0 to {self.last}, not {proposal['value']}")
        return proposal["value"]


class LatentExplorer(Explorer):
    """An explorer of one latent vector `z`: set it and the picture follows; read it after a drag."""

    weights = packed()
    z = traitlets.List(traitlets.CFloat()).tag(sync=True)

    @property
    def latents(self) -> int:
        """How many numbers z has."""
        return self.spec["decoder"][0]["inputs"]

    @traitlets.validate("z")
    def _fits(self, proposal: Any) -> list[float]:
        if len(proposal["value"]) != self.latents or not np.isfinite(proposal["value"]).all():
            raise traitlets.TraitError(f"z must be {self.latents} finite numbers, not {proposal['value']}")
        return proposal["value"]

    def draw_decoded(self, ax: Axes) -> None:
        """Draws the decoder's picture of z."""
        picture = self.run.model.mean_image(torch.tensor([self.z]))
        image_grid(picture, self.spec["shape"], 1, ax).set_title("decoder's mean E[x|z]")


def examples(prepared: Prepared, chosen: Sequence[int] | None = None) -> tuple[torch.Tensor, list[str]]:
    """The images at the indices `chosen`, (n, D) in [0, 1], and a name for each.

    By default a few test images: the first of each class, or, without classes, spread over all of them.

    Raises:
        ConfigError: an index that the data set does not have.
    """
    data, test, labels = prepared.data, prepared.split.test, prepared.data.labels
    if chosen is None:
        spread = np.arange(0, len(test), max(1, len(test) // THUMBNAILS))
        places = spread if labels is None else np.unique(labels[test], return_index=True)[1]
        chosen = test[places[:THUMBNAILS]].tolist()
    for index in chosen:
        if not 0 <= index < len(data):
            raise ConfigError(f"images: there is no image {index} in {data.name!r}, which has {len(data)}")
    names = [f"image {index}" + ("" if labels is None else f", class {labels[index]}") for index in chosen]
    return torch.from_numpy(data.matrix(chosen)), names


def training_images(prepared: Prepared, chosen: np.ndarray) -> tuple[dict[str, Any], bytes]:
    """A few training images, to tell which of them a decoded picture is most like: their names, and their bytes.

    "usual" is the median distance of a test image to the nearest of them, as js/memory.mjs measures it.
    """
    images, test = (torch.from_numpy(part) for part in (prepared.train[chosen], prepared.test[:1000]))
    nearest = torch.cdist(test, images).min(1).values / math.sqrt(images.shape[1])
    names = [f"training image {index}" for index in prepared.split.train[chosen]]
    return {"names": names, "usual": nearest.median().item()}, as_bytes(images)


def card(kind: str, prepared: Prepared, layout: Mapping[str, float], **words: Any) -> dict[str, Any]:
    """The part of a spec that all explorers have: its script's name, its words, the shape of an image, and numbers on
    which the card's height depends (see explorers.css).
    """
    words["data"] = TITLES.get(prepared.data.name, prepared.data.name)
    texts = {key: text.format(**words) for key, text in WORDS[kind].items()}
    style = "; ".join(f"--vae-{name}: {value}" for name, value in layout.items())
    return {"kind": kind, **texts, "layout": style, "shape": prepared.data.shape}


def as_bytes(images: torch.Tensor) -> bytes:
    """Pixels in [0, 1], rounded to 8 bits."""
    return images.clamp(0, 1).mul(255).round().byte().numpy().tobytes()
