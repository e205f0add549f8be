"""What the explorers share: their JavaScript as one self-contained module, and what they tell it of a run."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import anywidget
import numpy as np
import torch
import traitlets
from numpy.typing import NDArray

from vaelib.config import ConfigError
from vaelib.data import Prepared, prepare
from vaelib.models import VAE
from vaelib.runs import Run

__all__ = [
    "Examples",
    "Explorer",
    "LatentExplorer",
    "as_bytes",
    "examples",
    "likelihood_spec",
    "module",
    "run_data",
    "style",
    "title",
]

SCRIPTS = Path(__file__).parent / "js"
IMPORT = re.compile(r'^import [^;]*? from "\./(\w+)\.mjs";\n', re.MULTILINE)
THUMBNAILS = 10
TITLES = {"mnist": "MNIST", "frey": "Frey Faces"}


def module(name: str) -> str:
    """`js/<name>.mjs` and the modules that it imports as one: the browser gets it as text and could load no other."""
    parts: dict[str, str] = {}
    _collect(name, parts)
    own = parts.pop(name)
    return "".join([*(part.replace("\nexport ", "\n") for part in parts.values()), own])


def _collect(name: str, parts: dict[str, str]) -> None:
    source = (SCRIPTS / f"{name}.mjs").read_text(encoding="utf-8")
    for needed in IMPORT.findall(source):
        if needed not in parts:
            _collect(needed, parts)
    parts[name] = IMPORT.sub("", source)


def style() -> str:
    """The style sheet of all explorers."""
    return (SCRIPTS / "widgets.css").read_text(encoding="utf-8")


class Explorer(anywidget.AnyWidget):
    """A card on the page that shows a trained model at work. `spec` is all that its script must know, for JSON."""

    _css = style()
    spec = traitlets.Dict().tag(sync=True)

    @property
    def megabytes(self) -> float:
        """What this explorer adds to a page, which holds bytes as base64."""
        state = {**self.get_state(), "_css": ""}  # the style is the same for all
        sizes = (4 / 3 * len(v) if isinstance(v, bytes | memoryview) else len(json.dumps(v)) for v in state.values())
        return sum(sizes) / 1e6

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self.spec['title']}>"


class LatentExplorer(Explorer):
    """An explorer of one latent vector `z`: set it and the picture follows; read it after a drag."""

    weights = traitlets.Bytes().tag(sync=True)
    z = traitlets.List(traitlets.CFloat()).tag(sync=True)

    @traitlets.validate("z")
    def _fits(self, proposal: Any) -> list[float]:
        latents = self.spec["decoder"][0]["inputs"]
        if len(proposal["value"]) != latents or not np.isfinite(proposal["value"]).all():
            raise traitlets.TraitError(f"z must be {latents} finite numbers, not {proposal['value']}")
        return proposal["value"]


class Examples(NamedTuple):
    """Images to choose from: pixels in [0, 1] as (n, D), the same as bytes, and a name for each."""

    x: torch.Tensor
    pixels: bytes
    names: list[str]


def run_data(run: Run) -> Prepared:
    """The data that the run learned from and was judged by."""
    return prepare(run.config.data)


def title(prepared: Prepared) -> str:
    """The data's name, as people write it."""
    return TITLES.get(prepared.data.name, prepared.data.name)


def examples(prepared: Prepared, chosen: Sequence[int] | None = None) -> Examples:
    """The images at the indices `chosen`; by default test images, the first of each class, or spread over all of them.

    Raises:
        ConfigError: an index that the data set does not have.
    """
    data, test = prepared.data, prepared.split.test
    if chosen is None and data.labels is not None:
        _, firsts = np.unique(data.labels[test], return_index=True)
        chosen = test[firsts][:THUMBNAILS].tolist()
    elif chosen is None:
        chosen = test[:: max(1, len(test) // THUMBNAILS)][:THUMBNAILS].tolist()
    for index in chosen:
        if not 0 <= index < len(data):
            raise ConfigError(f"images: there is no image {index} in {data.name!r}, which has {len(data)}")
    labels = data.labels
    names = [f"image {index}" + ("" if labels is None else f", class {labels[index]}") for index in chosen]
    return Examples(torch.from_numpy(data.matrix(chosen)), data.images[chosen].tobytes(), names)


def likelihood_spec(model: VAE) -> dict[str, Any]:
    """What `js/network.mjs` must know to turn the decoder's outputs into a picture."""
    config = model.config.likelihood
    mean = "sigmoid" if config.name == "bernoulli" else config.mean
    return {"name": config.name, "mean": mean, "pixels": model.pixels}


def as_bytes(images: torch.Tensor) -> bytes:
    """Pixels in [0, 1], rounded to 8 bits."""
    levels: NDArray[np.uint8] = images.clamp(0, 1).mul(255).round().byte().numpy()
    return levels.tobytes()
