"""The reference's page: signatures as written, docstrings not misread, no module forgotten."""

from pathlib import Path

import pytest

from vaelib.book.reference import docstring, signature
from vaelib.config import Config

ROOT = Path(__file__).parents[1]
# What a reader of the reference does not call: parts of others, and the command line and the book, which have pages.
INTERNAL = {"book", "checkpoints", "cli", "engine", "progress", "store"}


class Settings(Config):
    """For the test."""

    size: int
    name: str = "a"
    layers: tuple[int, ...] = (1, 2)


def test_annotations_stand_as_they_are_written():
    def draw(self, x: "NDArray[np.uint8]", columns: "int" = 10, *, label: str = "x") -> "Axes":  # noqa: F821
        """For the test."""

    assert signature("method", draw) == (
        "(x: NDArray[np.uint8], columns: int = 10, *, label: str = 'x')",
        "Axes",
    )


def test_a_class_shows_its_fields_and_their_defaults():
    assert signature("class", Settings) == ("(size, name='a', layers=(1, 2))", None)


def test_what_has_no_signature_is_left_alone():
    assert signature("data", 3) is None


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("log p(x|z) - KL(q(z|x) || p(z))", r"log p(x\|z) - KL(q(z\|x) \|\| p(z))"),
        ("the mean of `q(z|x)`, ``a|b`` and x|z", r"the mean of `q(z|x)`, ``a|b`` and x\|z"),
    ],
)
def test_bars_are_escaped_but_in_literals(written, read):
    lines = [written]
    docstring(lines)
    assert lines == [read]


def test_the_reference_has_every_module():
    page = (ROOT / "chapters" / "api.md").read_text(encoding="utf-8")
    files = [path for path in (ROOT / "vaelib").glob("*.py") if path.stem != "__init__"]
    packages = [path.parent for path in (ROOT / "vaelib").glob("*/__init__.py")]
    modules = {path.stem for path in files + packages}
    assert {name for name in modules - INTERNAL if f"automodule:: vaelib.{name}\n" not in page} == set()
