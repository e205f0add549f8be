"""One measurement, in this process or in a new one: `python -m bench.task training.small.vaelib` prints it as JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

__all__ = ["in_new_process", "measure"]

ROOT = Path(__file__).parents[1]


def in_new_process(name: str) -> dict[str, Any]:
    """Takes the measurement called `name` where nothing else ran and nothing was compiled before."""
    with tempfile.TemporaryDirectory() as compiled:
        environment = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": compiled}
        command = [sys.executable, "-m", "bench.task", name]
        ran = subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(ran.stdout.splitlines()[-1])


def measure(name: str, quick: bool = False) -> dict[str, Any]:
    """Takes the measurement called `name` here, and imports only what it needs."""
    kind, *details = name.split(".")
    if kind == "training":
        from bench import training

        work, contender = details
        return training.measure(work, contender, quick)
    if kind == "likelihood":
        from bench import likelihood

        return likelihood.measure(quick)
    if kind == "sweep":
        from bench import sweeps

        jobs = 1 if details == ["one_job"] else os.cpu_count() or 1
        return sweeps.measure(jobs, quick)
    if kind == "members":
        from bench import members

        return members.measure(quick)
    if kind == "import":
        from bench import imports

        return imports.measure(quick)
    from bench import machine

    return machine.measure()


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1])))
