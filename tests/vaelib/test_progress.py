"""Progress: bars are for people; a notebook that a program runs tells its log instead, and keeps nothing of them."""

import subprocess
import sys

import nbformat

from vaelib.progress import bar, log, unattended

SWEEP = """
import vaelib as vae
from vaelib.progress import bar, unattended

training = vae.TrainingConfig(epochs=1, device="cpu")
network = vae.VAEConfig(latent_dim=2, hidden=(8,))
config = vae.RunConfig(data=vae.DataConfig(name="digits"), model=network, training=training)
vae.sweep(vae.grid(config, seed=[0, 1]), jobs=1)
run = vae.train(config.replace(seed=2))
for _ in bar(range(3)):
    pass
assert unattended()
"""


def test_a_bar_is_for_people(monkeypatch, capfd):
    assert list(bar(range(3))) == [0, 1, 2] and capfd.readouterr().err == ""
    monkeypatch.setenv("TQDM_DISABLE", "1")
    list(bar(range(3)))
    assert capfd.readouterr().err == ""


def test_outside_of_notebooks_there_is_nothing_to_log(capfd):
    log("a line")
    assert not unattended() and capfd.readouterr() == ("", "")


def test_papermill_leaves_no_bar_behind_and_its_log_hears_of_each_run(tmp_path, monkeypatch):
    monkeypatch.setenv("VAELIB_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "1")
    for variable in ("TQDM_DISABLE", "PYTEST_CURRENT_TEST"):  # of the latter ipykernel takes notice
        monkeypatch.delenv(variable, raising=False)
    kernel = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(SWEEP)], metadata=kernel)
    nbformat.write(notebook, tmp_path / "in.ipynb")
    command = [sys.executable, "-m", "papermill", "in.ipynb", "out.ipynb", "--no-progress-bar"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    assert nbformat.read(tmp_path / "out.ipynb", as_version=4).cells[0].outputs == []
    for line in ("run 1 of 2: digits", "run 2 of 2: digits", "trained digits"):
        assert line in ran.stderr, ran.stderr
