"""What the tests of the book's tools share: a book of one tiny chapter."""

import shutil
from pathlib import Path

import pytest

from vaebook.build.notebooks import INSTALL, Chapter

ROOT = Path(__file__).resolve().parents[2]
CHAPTER = f"""# %% [markdown]
# # A tiny chapter

# %% tags=["parameters"]
dataset: str = "digits"  # which images
epochs: int = 3  # passes over the data
hidden: tuple[int, ...] = (8, 4)  # units per layer

# %% tags=["remove-cell"]
import sys
from types import SimpleNamespace

from vaebook import page

settings = page.parameters(globals(), at_least={{"epochs": 1}})

# %% tags=["remove-input"]
images = SimpleNamespace(name="mnist", stand_in_for=None, sha256={{"train-images": "ba89"}})
page.banner(images)

# %%
# NBVAL_CHECK_OUTPUT
epochs + 1

# %% tags=["remove-output"]
sys.executable

# %% tags=["remove-cell", "install"]
{INSTALL}
"""


@pytest.fixture
def folder(tmp_path):
    """A book of one chapter, set up as this one is."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "_toc.yml").write_text("format: jb-book\nroot: chapters/tiny\n")
    (tmp_path / "chapters").mkdir()
    (tmp_path / "chapters" / "tiny.py").write_text(CHAPTER)
    return tmp_path


@pytest.fixture
def tiny(folder):
    """That chapter."""
    return Chapter(folder / "chapters" / "tiny.py")
