"""``vaelib data``: what there is, fetching, verifying."""

from __future__ import annotations

import pandas as pd

from vaelib import data
from vaelib.config import pick
from vaelib.data import MissingDataError
from vaelib.data.fetch import held
from vaelib.data.sets import PUBLISHED

CONTENT = {
    "mnist": "70,000 handwritten digits, 28x28, labelled",
    "frey": "1,965 frames of a face, 28x20",
    "digits": "1,797 small digits, 8x8, labelled",
    "toyfaces": "1,965 drawn faces, 28x20, with their factors",
}


def list_data() -> None:
    rows = [{"name": name, "content": CONTENT[name], "where": _place(name)} for name in data.NAMES]
    print(pd.DataFrame(rows).to_string(index=False, justify="left"))


def fetch(*names: str) -> None:
    """
    Parameters
    ----------
    names
        data sets; all that are not bundled, if none is named
    """
    for name in names or PUBLISHED:
        _report(name)


def verify(*names: str) -> None:
    """
    Parameters
    ----------
    names
        data sets; all that are here, if none is named
    """
    for name in names or [name for name in data.NAMES if name not in PUBLISHED or _held(name)]:
        pick("data set", name, data.NAMES)
        if name in PUBLISHED and not _held(name):
            raise MissingDataError(f"{name} is not on this machine: `vaelib data fetch {name}` downloads it")
        _report(name)


def _report(name: str) -> None:
    images = data.load(name)  # believes nothing whose SHA-256 is not the published one
    print(f"{images.name}: {len(images.images):,} images of {'x'.join(map(str, images.shape))}, verified")
    for file, digest in images.sha256.items():
        print(f"  {digest}  {file}")


def _held(name: str) -> bool:
    return all(held(PUBLISHED[name], file) for file in PUBLISHED[name].sha256)


def _place(name: str) -> str:
    if name not in PUBLISHED:
        return "bundled"
    folder = held(PUBLISHED[name], next(iter(PUBLISHED[name].sha256)))
    return str(folder.parent) if folder and _held(name) else f"not here: vaelib data fetch {name}"
