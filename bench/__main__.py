"""`python -m bench` takes every measurement, prints a table and writes _build/bench.json."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from bench import task
from bench.table import table
from bench.works import CONTENDERS, WORKS

NAMES = (
    *(f"training.{work}.{contender}" for work in WORKS for contender in CONTENDERS),
    "likelihood",
    "sweep.one_job",
    "sweep.all_cores",
    "members",
    "import",
)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser("bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few random images, in one process: only to try it out")
    parser.add_argument("--threads", type=int, help="torch's threads (default: one a core, or OMP_NUM_THREADS)")
    parser.add_argument("--only", default="", help="what the names to measure start with, such as training.small")
    parser.add_argument("--output", type=Path, default=task.ROOT / "_build" / "bench.json")
    options = parser.parse_args(arguments)
    names = [name for name in NAMES if name.startswith(options.only)]
    if not names:
        parser.error(f"--only {options.only} matches none of {', '.join(NAMES)}")

    if options.threads or options.quick:
        os.environ["OMP_NUM_THREADS"] = str(options.threads or 1)  # this process has not imported torch yet
    figures: dict[str, Any] = {"machine": task.in_new_process("machine"), "quick": options.quick}
    for name in names:
        print(name, file=sys.stderr)
        *path, last = name.split(".")
        place = figures
        for part in path:
            place = place.setdefault(part, {})
        place[last] = task.measure(name, quick=True) if options.quick else task.in_new_process(name)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    print(table(figures))
    print(f"\nwritten to {options.output}")


if __name__ == "__main__":
    main()
