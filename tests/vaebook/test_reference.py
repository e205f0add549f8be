"""The reference's page: signatures as written, docstrings not misread, no module forgotten."""

import pkgutil
import re
from pathlib import Path

import pytest

from vaebook.build.reference import docstring, signature, skipped
from vaelib.config import Config
from vaelib.objectives import Terms

ROOT = Path(__file__).resolve().parents[2]
# What a reader of the reference does not call: commands, what builds the pages, and a table of data.
INTERNAL = {"vaelib.cli", "vaebook.build", "vaebook.cli", "vaebook.experiments.claims"}


class Settings(Config):
    """For the test."""

    size: int
    name: str = "a"
    layers: tuple[int, ...] = (1, 2)


def test_fields_of_named_tuples_are_left_to_their_class():
    assert skipped(Terms.elbo) and skipped(Settings.model_fields) is None and skipped(signature) is None


def test_annotations_stand_as_they_are_written():
    def draw(self, x: "NDArray[np.uint8]", columns: "int" = 10, *, label: str = "x") -> "Axes":  # noqa: F821
        """For the test."""

    assert signature("method", draw) == ("(x: NDArray[np.uint8], columns: int = 10, *, label: str = 'x')", "Axes")


def test_a_class_shows_its_fields_and_their_defaults():
    assert signature("class", Settings) == ("(size, name='a', layers=(1, 2))", None)


def test_what_has_no_signature_is_left_alone():
    assert signature("data", 3) is None


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("log p(x|z) - KL(q(z|x) || p(z))", r"log p(x\|z) - KL(q(z\|x) \|\| p(z))"),
        ("calls f(run, *arguments), **options or `*these`", r"calls f(run, \*arguments), \*\*options or `*these`"),
        ("the *smallest* of them, 2 * 3, **not** more", "the *smallest* of them, 2 * 3, **not** more"),
        ("the mean of `q(z|x)`, ``a|b`` and x|z", r"the mean of `q(z|x)`, ``a|b`` and x\|z"),
    ],
)
def test_what_is_no_markup_is_escaped_but_in_literals(written, read):
    lines = [written]
    docstring(lines)
    assert lines == [read]


def test_the_reference_has_every_module():
    """Of both packages; of a package within them any part will do."""
    page = (ROOT / "chapters" / "api.md").read_text(encoding="utf-8")
    modules = {
        ".".join([*folder.split("/"), module.name])
        for folder in ("vaelib", "vaebook", "vaebook/experiments")
        for module in pkgutil.iter_modules([str(ROOT / folder)])
    } - {"vaebook.experiments"}
    listed = re.findall(r"automodule:: (\S+)", page)
    assert {name for name in modules - INTERNAL if not any(f"{one}.".startswith(f"{name}.") for one in listed)} == set()
