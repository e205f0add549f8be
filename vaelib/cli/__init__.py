"""The command line, ``vaelib --help``. Its options are those of the configurations; a command loads what it needs only.

Exit status: 0 done, 1 failed, 2 used wrongly, 130 stopped with Ctrl-C.
"""

from __future__ import annotations

import io
import os
import sys
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from cyclopts import App, CycloptsError, Parameter
from pydantic import ValidationError

import vaelib
from vaelib.config import ConfigError, explain

__all__ = ["app", "main", "new_app", "run_app"]

TRACEBACK_VARIABLE = "VAELIB_TRACEBACK"
WHOLE: Any = {"break_long_words": False, "break_on_hyphens": False}


def new_app(name: str, help: str) -> App:
    """A command line whose commands are added with `add`."""
    return App(
        name=name,
        version=vaelib.__version__,
        help=f"{help} Each command has its own --help, with an example.",
        help_format="plaintext",
        default_parameter=Parameter(negative=(), consume_multiple=True),
        suppress_keyboard_interrupt=False,
    )


def add(parent: App, path: str, target: str, help: str, *examples: str) -> None:
    """Adds the command at `path` ("runs list") that calls `target` ("module:function"), imported only when it is."""
    *groups, name = path.split()
    epilogue = "\n".join(["Example:", *(folded(f"{parent.name[0]} {path} {example}") for example in examples)])
    for group in groups:
        parent = parent[group]
    parent.command(target, name=name, help=help, help_epilogue=epilogue)


def folded(line: str) -> str:
    """A command that a shell takes as it stands, on lines that a terminal of 80 columns does not break."""
    return textwrap.fill(line.strip(), 74, initial_indent="  ", subsequent_indent="    ", **WHOLE).replace(
        "\n", " \\\n"
    )


app = new_app("vaelib", "Variational autoencoders to read, to run and to trust.")
app.command(App(name="data", help="The data sets: what there is, fetching and verifying them."))
app.command(App(name="runs", help="The finished runs in the store."))
for _path, _target, _help, *_examples in (
    ("data list", "stored:list_data", "What data sets there are, and where they lie.", ""),
    ("data fetch", "stored:fetch", "Verifies data sets, and downloads those that are not here.", "", "mnist"),
    (
        "train",
        "train:train",
        "Trains one run, or loads it if it is in the store. A run that was stopped goes on from its last checkpoint.",
        "--data.name digits --model.latent-dim 5 --training.epochs 3",
    ),
    (
        "sweep",
        "train:sweep",
        "Trains every combination of settings; a run that fails stops no other; again, it does only what is missing.",
        "--data.name digits --training.epochs 3 --grid model.latent-dim=2,5 seed=0,1,2",
        "--grid model.latent-dim=2,5,10,20 --scheduler tcp://head-node:8786",
    ),
    (
        "evaluate",
        "stored:evaluate",
        "What a finished run is worth: its figures, and log p(x) by importance sampling, with the Monte Carlo error.",
        "digits-z5 --samples 500",
    ),
    (
        "runs list",
        "stored:list_runs",
        "One line for each run: what it is and what it reached.",
        "",
        "--where data.name=mnist --sort elbo",
    ),
    ("runs show", "stored:show", "A run's settings, figures, and what it was made with.", "digits-z5"),
    ("runs rm", "stored:remove", "Deletes runs, also unfinished and damaged ones.", "digits-z5-0123456789abcdef --yes"),
):
    add(app, _path, f"vaelib.cli.{_target}", _help, *_examples)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs ``vaelib`` and returns its exit status."""
    return run_app(app, arguments)


def run_app(app: App, arguments: Sequence[str] | None = None) -> int:
    """Runs a command line and returns its exit status; what goes wrong is one line on stderr."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_, **__: _say(app, f"warning: {message}")
        for name in ("stdout", "stderr"):
            if getattr(sys, name) is None:  # closed, as by `>&-`: what is written is lost, a run must not be
                setattr(sys, name, io.StringIO())
            with suppress(AttributeError, ValueError):
                getattr(sys, name).reconfigure(errors="replace")  # a console without "−" shows "?"
        try:
            if given[:1] in (["train"], ["sweep"]):
                from vaelib.cli.train import choose_family

                choose_family(given)
            status = app(given, print_error=False, exit_on_error=False, result_action="return_value")
            sys.stdout.flush()
            return status if isinstance(status, int) else 0
        except KeyboardInterrupt:
            _say(app, "stopped; what is finished is kept, and the same command goes on from there")
            return 130
        except BrokenPipeError:  # whoever read the output has gone, as with `| head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        except Exception as error:
            if os.environ.get(TRACEBACK_VARIABLE):
                raise
            return _failure(app, error)


def _failure(app: App, error: Exception) -> int:
    for cause in _causes(error):  # what the configuration says is clearer than what was made of it
        if isinstance(cause, ValidationError):
            _say(app, explain(cause, cause.title, ()))
            return 2
    if isinstance(error, (CycloptsError, ConfigError)):
        _say(app, f"{error} ({app.name[0]} --help)" if isinstance(error, CycloptsError) else error)
        return 2
    ours = ("vaelib.", f"{app.name[0]}.")  # a command is called as its package is
    known = type(error).__module__.startswith(ours) or isinstance(error, (OSError, ValueError))
    hint = "" if known else f" ({TRACEBACK_VARIABLE}=1 shows where)"
    _say(app, f"{'' if known else type(error).__name__ + ': '}{error}{hint}")
    return 1


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _say(app: App, text: Any) -> None:
    with suppress(OSError, ValueError):  # nobody is there to be told
        print(f"{app.name[0]}:", " ".join(str(text).split()), file=sys.stderr, flush=True)
