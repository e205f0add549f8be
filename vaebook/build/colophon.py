"""A Sphinx extension for the colophon: ``{colophon} chapters``, ``data``, ``bench`` or ``versions`` is that table."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.util.docutils import SphinxDirective

from vaebook.build.notebooks import STAMP, chapters
from vaebook.page import code
from vaelib.config import pick

if TYPE_CHECKING:
    from sphinx.application import Sphinx

__all__ = ["BENCH", "bench_table", "chapters_table", "data_table", "setup", "versions_table"]

BENCH = Path("assets", "bench.json")
PACKAGES = ("jupyter-book", "sphinx", "myst-nb", "sphinx-book-theme", "numpy", "matplotlib", "scikit-learn", "scipy")
MODELS = {
    "small": "digits, 784-400, ReLU, Adam",
    "large": "digits, 784-500-500, tanh, Adagrad",
    "frey": "film, 560-500, SiLU, Adam",
}
CONTENDERS = {"vaelib": "vaelib", "plain": "a plain loop", "pythae": "pythae", "limit": "the matrix products alone"}


def setup(app: Sphinx) -> dict[str, bool]:
    """What Sphinx calls."""
    app.add_directive("colophon", Colophon)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


class Colophon(SphinxDirective):
    """One of the tables below."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        tables = {"chapters": chapters_table, "data": data_table, "bench": bench_table, "versions": versions_table}
        lines = tables[pick("table", self.arguments[0], tables)](Path(self.env.srcdir))
        self.env.note_reread()  # it depends on every notebook
        holder = nodes.container()
        self.state.nested_parse(StringList(lines, source=self.env.docname), self.content_offset, holder)
        return holder.children


def chapters_table(root: Path) -> list[str]:
    """Each chapter, when it was executed, by what, and how long that took."""
    facts = ("executed", "seconds", "python", "torch", "version")
    stamps = {chapter.name: chapter.notebook.metadata[STAMP] for chapter in chapters(root)}
    rows = [[f"{{doc}}`/chapters/{name}`", *map(stamp.get, facts)] for name, stamp in stamps.items()]
    return _table(["page", "executed", "seconds", "Python", "torch", "vaelib"], rows)


def data_table(root: Path) -> list[str]:
    """Each file of the data sets, with the checksum that the chapters found."""
    stamps = [chapter.notebook.metadata[STAMP] for chapter in chapters(root)]
    hashes = {file: digest for stamp in stamps for file, digest in stamp["data"].items()}
    return _table(["file", "SHA-256"], [[code(file), code(digest)] for file, digest in sorted(hashes.items())])


def bench_table(root: Path) -> list[str]:
    """The machine, and how fast it trains beside others, from `make bench`."""
    if not (root / BENCH).exists():
        return [f"`make bench` measures it. No figures are published yet: they would lie in `{BENCH.as_posix()}`."]
    figures = json.loads((root / BENCH).read_text(encoding="utf-8"))
    machine = figures["machine"]
    said = (
        f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gb']} GB of memory; {machine['platform']}; "
        f"torch {machine['torch']} with {machine['threads']} thread{'s' if machine['threads'] > 1 else ''}. "
        f"Measured by `make bench` on {machine['date'][:10]}:"
    )
    rows = [
        [
            MODELS[work] if row is next(iter(contenders.values())) else "",
            CONTENDERS[name],
            f"{row['images_per_s']:,.0f}",
            *(f"{row['images_per_s'] / contenders[other]['images_per_s']:.2f}" for other in ("pythae", "limit")),
            f"{row['peak_memory_mb']:,.0f}",
        ]
        for work, contenders in figures["training"].items()
        for name, row in contenders.items()
    ]
    heads = ["encoder", "trained by", "images a second", "times pythae", "of the products", "peak memory (MB)"]
    return [said, "", *_table(heads, rows), *_others(figures), *_members(figures["members"])]


def _others(figures: dict[str, Any]) -> list[str]:
    """What is no training of one model, a sentence each."""
    likelihood, sweep, loaded = figures["likelihood"], figures["sweep"], figures["import"]
    ours, limit = (likelihood[name]["images_samples_per_s"] for name in ("vaelib", "limit"))
    one, all_cores = sweep["one_job"], sweep["all_cores"]
    return [
        "",
        f"- log p(x) of {likelihood['images']:,} digits from {likelihood['samples']} draws each: {ours:,.0f} draws a "
        f"second, {ours / limit:.2f} of what the products alone reach.",
        f"- A sweep of {one['runs']} models of the film: {one['runs_per_minute']:.1f} a minute in one process, "
        f"{all_cores['runs_per_minute']:.1f} in {all_cores['jobs']}.",
        f"- `import torch` takes {loaded['torch_s']:.1f} s, what `vaelib` needs to train "
        f"{loaded['vaelib_beyond_torch_s']:.1f} s more.",
        "- On a GPU: not measured. None was at hand.",
    ]


def _members(figures: dict[str, Any]) -> list[str]:
    """How much less each model costs when several are trained in one program."""
    machine, counts = figures["machine"], list(next(iter(figures["ms"].values())))[1:]
    said = (
        "Milliseconds of the processor for a model and step, of one model by `fit` and of several in one program "
        f"(`together`), and how many times less that is. Medians of {figures['steps']} steps, taken in turns on "
        f"{machine['cpu']} with {machine['threads']} thread on {machine['date'][:10]}"
    )
    busy = ", while others worked on the machine" if figures["other_cores"] > 0.1 else ""
    rows = [
        [shape, f"{row['1']:.2f}", *(f"{row[count]:.2f} ({row['1'] / row[count]:.2f})" for count in counts)]
        for shape, row in figures["ms"].items()
    ]
    return ["", f"{said}{busy}:", "", *_table(["model", "alone", *(f"{count} together" for count in counts)], rows)]


def versions_table(root: Path) -> list[str]:
    """The packages that build the site."""
    return _table(["package", "version"], [[package, version(package)] for package in PACKAGES])


def _table(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    cells = [[str(cell).replace("|", "\\|") for cell in line] for line in (heads, ["---"] * len(heads), *rows)]
    return [f"| {' | '.join(line)} |" for line in cells]
