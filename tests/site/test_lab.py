"""A chapter in a real JupyterLab: opened, run on quick parameters, and its explorer operated as a reader would."""

import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import nbformat
import papermill
import pytest
import yaml
from browser import chromium, moved, watched

ROOT = Path(__file__).resolve().parents[2]
CHAPTER = "own_images"
QUICK = yaml.safe_load((ROOT / "chapters" / "quick.yaml").read_text(encoding="utf-8"))[CHAPTER]
CELLS = "[...jupyterapp.shell.currentWidget.content.model.cells].filter((cell) => cell.type === 'code')"
IDLE = "jupyterapp.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'"
FINISHED = f"{CELLS}.every((cell) => cell.executionCount) && {IDLE}"
ERRORS = f"{CELLS}.flatMap((cell) => cell.outputs.toJSON()).filter((one) => one.output_type === 'error')"
SHOW = """() => {
    const notebook = jupyterapp.shell.currentWidget.content;
    const cells = [...notebook.model.cells];
    const last = cells.findLastIndex((cell) => cell.type === "code");
    return notebook.scrollToItem(last, "center");
}"""
pytestmark = pytest.mark.xdist_group("lab")


@pytest.fixture
def lab(tmp_path, monkeypatch):
    """The address of a JupyterLab in a folder with the chapter, quick and without outputs."""
    for name in ("CONFIG", "DATA", "RUNTIME"):
        monkeypatch.setenv(f"JUPYTER_{name}_DIR", str(tmp_path / name))
    for name in ("IPYTHONDIR", "VAELIB_RUNS", "JUPYTERLAB_WORKSPACES_DIR", "JUPYTERLAB_SETTINGS_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "1")
    book = tmp_path / "book"
    book.mkdir()
    published, quick = ROOT / "chapters" / f"{CHAPTER}.ipynb", book / f"{CHAPTER}.ipynb"
    papermill.execute_notebook(published, quick, QUICK, prepare_only=True, progress_bar=False)
    notebook = nbformat.read(quick, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    notebook.metadata.pop("widgets", None)
    nbformat.write(notebook, quick)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = ["--IdentityProvider.token=", f"--ServerApp.root_dir={book}", "--LabApp.expose_app_in_browser=True"]
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--ServerApp.port={port}"]
    with open(tmp_path / "lab.log", "w") as log:
        server = subprocess.Popen([*command, *settings], stdout=log, stderr=log)
    try:
        yield wait_for(f"http://127.0.0.1:{port}", tmp_path / "lab.log")
    finally:
        server.terminate()
        server.wait(30)


def wait_for(address, log):
    for _ in range(300):
        try:
            urlopen(f"{address}/api", timeout=5).close()
            return address
        except URLError:
            time.sleep(0.2)
    raise TimeoutError(f"JupyterLab did not start: {log.read_text()[-2000:]}")


def test_a_chapter_runs_and_its_explorer_moves(lab):
    with chromium() as browser, browser.new_context(viewport={"width": 1280, "height": 900}) as context:
        tab, _ = watched(context)
        tab.set_default_timeout(120_000)
        tab.goto(f"{lab}/lab/tree/{CHAPTER}.ipynb")
        tab.wait_for_selector(".jp-NotebookPanel .jp-Cell")
        tab.wait_for_function(IDLE)
        tab.evaluate("void jupyterapp.commands.execute('notebook:run-all-cells')")
        tab.wait_for_function(FINISHED)
        assert tab.evaluate(ERRORS) == []
        tab.evaluate(SHOW)
        tab.wait_for_selector(".vae[data-ready]")
        assert moved(tab, tab.locator(".vae[data-ready]").first)
