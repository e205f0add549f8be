"""The command line, ``vaelib --help``. Its options are those of the configurations; a command loads what it needs only.

Exit status: 0 done, 1 failed, 2 used wrongly, 130 stopped with Ctrl-C.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

from cyclopts import App, CycloptsError, Parameter
from pydantic import ValidationError

import vaelib
from vaelib.config import ConfigError, explain

__all__ = ["app", "main"]

TRACEBACK_VARIABLE = "VAELIB_TRACEBACK"

app = App(
    name="vaelib",
    version=vaelib.__version__,
    help="Variational autoencoders to read, to run and to trust. Each command has its own --help, with an example.",
    help_format="plaintext",
    default_parameter=Parameter(negative=(), consume_multiple=True),
    suppress_keyboard_interrupt=False,
)


def _add(path: str, target: str, help: str, *examples: str) -> None:
    """Adds the command at `path` ("runs list") that calls `target` ("runs:list_runs"), imported only when it is."""
    *groups, name = path.split()
    parent = app
    for group in groups:
        parent = parent[group]
    epilogue = "\n".join(["Example:", *(f"  vaelib {path} {example}" for example in examples)])
    parent.command(f"vaelib.cli.{target}", name=name, help=help, help_epilogue=epilogue)


app.command(App(name="data", help="The data sets: what there is, fetching and verifying them."))
app.command(App(name="runs", help="The finished runs in the store."))
app.command(App(name="chapters", help="The book's chapters: executing and checking them."))
_add("data list", "data:list_data", "What data sets there are, and where they lie.", "")
_add("data fetch", "data:fetch", "Downloads and verifies data sets (all that are not bundled, unless named).", "mnist")
_add("data verify", "data:verify", "Verifies the data sets that are here, and downloads nothing.", "", "frey")
_add(
    "train",
    "train:train",
    "Trains one run, or loads it if it is in the store. A run that was stopped goes on from its last checkpoint.",
    "--data.name digits --model.latent-dim 5 --training.epochs 3",
    "--recipe report --data.name mnist --seed 1",
)
_add(
    "sweep",
    "train:sweep",
    "Trains every combination of some settings; a run that fails stops no other; again, it does only what is missing.",
    "--data.name digits --training.epochs 3 --grid model.latent_dim=2,5 seed=0,1,2",
    "--recipe modern --grid model.latent_dim=2,5,10,20 --scheduler tcp://head-node:8786",
)
_add(
    "evaluate",
    "evaluate:evaluate",
    "What a finished run is worth: its figures, and log p(x) by importance sampling, with the Monte Carlo error.",
    "digits-z5 --samples 500",
)
_add("runs list", "runs:list_runs", "One line for each run: what it is and what it reached.", "")
_add("runs show", "runs:show", "A run's settings, figures, and what it was made with.", "digits-z5")
_add("runs rm", "runs:remove", "Deletes runs, also unfinished and damaged ones.", "digits-z5-0123456789abcdef --yes")
_add(
    "chapters execute",
    "chapters:execute",
    "Runs chapters in full and replaces their published notebooks (all chapters, unless named).",
    "chapters/01_data.py",
)
_add("chapters check", "chapters:check", "Says what is wrong with the notebooks: unpaired, stale, errors, size.", "")
_add(
    "chapters run",
    "chapters:run",
    "Runs chapters on other parameters and leaves one notebook for each combination; the book stays as it is.",
    "chapters/03_training.ipynb --grid latent_dim=2,5 seeds=1 --output out/",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit status; what goes wrong is one line on stderr."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: _say(f"warning: {message}")
        try:
            status = app(given, print_error=False, exit_on_error=False, result_action="return_value")
            sys.stdout.flush()
            return status if isinstance(status, int) else 0
        except KeyboardInterrupt:
            _say("stopped; what is finished is kept, and the same command goes on from there")
            return 130
        except BrokenPipeError:  # whoever read the output has gone, as with `| head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        except Exception as error:
            if os.environ.get(TRACEBACK_VARIABLE):
                raise
            return _failure(error)


def _failure(error: Exception) -> int:
    for cause in _causes(error):  # what the configuration says is clearer than what was made of it
        if isinstance(cause, ValidationError):
            _say(explain(cause, cause.title, ()))
            return 2
    if isinstance(error, (CycloptsError, ConfigError)):
        _say(f"{error} (vaelib --help)" if isinstance(error, CycloptsError) else str(error))
        return 2
    known = type(error).__module__.startswith("vaelib.") or isinstance(error, (OSError, ValueError))
    hint = "" if known else f" ({TRACEBACK_VARIABLE}=1 shows where)"
    _say(f"{'' if known else type(error).__name__ + ': '}{error}{hint}")
    return 1


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _say(text: Any) -> None:
    print("vaelib:", " ".join(str(text).split()), file=sys.stderr, flush=True)
