"""Chapter 1: the solutions of its exercises run, and its key numbers are those of the real data."""

import ast
import re
from pathlib import Path

import jupytext
import numpy as np
import pytest
from scipy.special import entr

from vaebook.experiments.pictures import nearest
from vaebook.experiments.tongue import OUT, tongue
from vaelib import data

CHAPTER = Path(__file__).resolve().parents[2] / "chapters" / "01_data.py"


@pytest.fixture(scope="module")
def namespace():
    """What the chapter leaves behind when it is run on the bundled stand-ins."""
    names = {}
    for cell in jupytext.read(CHAPTER).cells:
        if cell.cell_type == "code":
            exec(cell.source, names)
        if "parameters" in cell.metadata.get("tags", []):
            names.update(dataset="digits", splits=2)
    return names


def solutions():
    text = "\n".join(cell.source for cell in jupytext.read(CHAPTER).cells if cell.cell_type == "markdown")
    return dict(re.findall(r"````\{solution\} (\S+).*?```python\n(.*?)```", text, flags=re.DOTALL))


@pytest.mark.parametrize("label", solutions())
def test_a_solution_runs(label, namespace):
    *statements, answer = ast.parse(solutions()[label]).body
    names = dict(namespace)
    exec(compile(ast.Module(statements, []), label, "exec"), names)
    names["answer"] = eval(compile(ast.Expression(answer.value), label, "eval"), names)
    if label == "ex-data-variance":
        assert names["answer"] < 1e-4
    if label == "ex-data-pca-tongue":
        without, everything = names["answer"].iloc[0]
        assert everything < without


def test_every_exercise_has_its_solution():
    text = CHAPTER.read_text(encoding="utf-8")
    assert re.findall(r"\{exercise\}\n# :label: (\S+)", text) == re.findall(r"\{solution\} (\S+)", text)


def test_the_entropy_floor_of_mnist(real_data):
    """No model's cross-entropy on the grey test digits is below 45.5 nats on average."""
    mnist = data.load("mnist")
    pixels = mnist.images[mnist.split("60000/10000").test]
    counts, levels = np.bincount(pixels.ravel(), minlength=256), np.arange(256) / 255
    assert counts @ (entr(levels) + entr(1 - levels)) / len(pixels) == pytest.approx(45.534, abs=1e-3)


def test_the_spectrum_of_frey_faces(real_data):
    values = np.linalg.eigvalsh(np.cov(data.load("frey").matrix().T))[::-1]
    np.testing.assert_allclose(values[[0, 1, 2, 3, 4, 19]], [1.286, 0.787, 0.714, 0.500, 0.330, 0.050], atol=1e-3)
    assert sum(values > 1) == 1


def test_the_leak_of_a_random_split_and_where_the_tongues_go(real_data):
    film = data.load("frey")
    frames, state, parts = film.matrix(), tongue(film), film.split("time")
    medians = []
    for split in (*(film.split("random", seed) for seed in range(10)), parts):
        medians.append(np.median(nearest(frames[split.test], frames[split.train]).squared_distance))
    assert np.mean(medians[:-1]) == pytest.approx(1.02, abs=0.01)
    assert medians[-1] == pytest.approx(3.92, abs=0.01)
    assert [int(np.sum(state[part] == OUT)) for part in parts] == [39, 0, 21]
