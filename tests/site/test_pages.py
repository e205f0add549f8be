"""Pages that quote: each number in the questions is printed where its link leads; the colophon has what it is given."""

import json
import re
import shutil
from pathlib import Path

import pytest

from vaebook.build import colophon
from vaebook.build.notebooks import Chapter

ROOT = Path(__file__).resolve().parents[2]
NUMBER = re.compile(r"\[([-−]?\d[^\]]*)\]\((\w+)\.ipynb\)")


def printed(name):
    """All that a chapter's outputs say, with single spaces."""
    outputs = [o for cell in Chapter(ROOT / "chapters" / f"{name}.py").notebook.cells for o in cell.get("outputs", [])]
    shown = [output.get("data", {}) for output in outputs]
    texts = [output.get("text", "") for output in outputs]
    texts += [data[kind] for data in shown for kind in ("text/plain", "text/markdown") if kind in data]
    return re.sub(r"\s+", " ", "\n".join(texts)).replace("-", "−")


def test_every_number_in_the_questions_is_printed_where_its_link_leads():
    numbers = NUMBER.findall((ROOT / "chapters" / "questions.md").read_text(encoding="utf-8").replace("-", "−"))
    pages = {name: printed(name) for _, name in numbers}
    assert len(numbers) > 20
    missing = [(n, name) for n, name in numbers if not re.search(rf"(?<![\d.]){re.escape(n)}(?![\d.]*\d)", pages[name])]
    assert missing == []


def test_the_colophon_reads_the_notebooks_stamps():
    chapters = colophon.chapters_table(ROOT)
    assert len(chapters) > 5 and chapters[0].startswith("| page | executed | seconds |")
    assert all("None" not in row and row.count("|") == 7 for row in chapters)
    data = "\n".join(colophon.data_table(ROOT))
    assert "265a83a23adb081755cd3de375509828e690324d1d60f076b8ecebc840d59c64" in data
    assert any("jupyter-book" in row for row in colophon.versions_table(ROOT))


def test_the_colophon_has_the_bench_where_it_was_measured(tmp_path):
    assert "`make bench` measures it" in colophon.bench_table(tmp_path)[0]
    row, speeds = {"peak_memory_mb": 831.6}, {"vaelib": 30_000, "pythae": 20_000, "limit": 40_000}
    machine = {
        "cpu": "A processor",
        "cores": 2,
        "memory_gb": 23.5,
        "platform": "Linux",
        "torch": "2.13.0",
        "threads": 2,
    }
    own = {"cpu": "Another", "threads": 1, "date": "2026-11-27T22:00:00+00:00"}
    figures = {
        "machine": {**machine, "date": "2026-11-22T11:56:14+00:00"},
        "training": {"small": {name: {**row, "images_per_s": value} for name, value in speeds.items()}},
        "likelihood": {"images": 1000, "samples": 500, "vaelib": {"images_samples_per_s": 30}},
        "sweep": {"one_job": {"runs": 12, "runs_per_minute": 3.2}, "all_cores": {"runs_per_minute": 5, "jobs": 2}},
        "import": {"torch_s": 2.0, "vaelib_beyond_torch_s": 0.5},
        "members": {"machine": own, "steps": 160, "other_cores": 0.5, "ms": {"faces": {"1": 3.0, "8": 2.0}}},
    }
    figures["likelihood"]["limit"] = {"images_samples_per_s": 40}
    (tmp_path / "assets").mkdir()
    (tmp_path / "assets" / "bench.json").write_text(json.dumps(figures))
    said, *lines = colophon.bench_table(tmp_path)
    assert said.startswith("A processor, 2 cores, 23.5 GB of memory; Linux; torch 2.13.0 with 2 threads.")
    assert "| digits, 784-400, ReLU, Adam | vaelib | 30,000 | 1.50 | 0.75 | 832 |" in lines
    assert "- log p(x) of 1,000 digits from 500 draws each: 30 draws a second, 0.75 of what the" in "\n".join(lines)
    assert "- A sweep of 12 models of the film: 3.2 a minute in one process, 5.0 in 2." in lines
    assert any(line.endswith("1 thread on 2026-11-27, while others worked on the machine:") for line in lines)
    assert lines[-1] == "| faces | 3.00 | 2.00 (1.50) |"


def test_the_colophon_takes_what_the_bench_writes(tmp_path):
    """The published figures, where there are some: in `assets/bench.json`, as `make bench` wrote them."""
    if not (ROOT / colophon.BENCH).exists():
        pytest.skip("no published bench yet")
    (tmp_path / "assets").mkdir()
    shutil.copy(ROOT / colophon.BENCH, tmp_path / "assets")
    assert len(colophon.bench_table(tmp_path)) > 5
