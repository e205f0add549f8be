"""The command line, ``vaelib --help``. Its options are those of the configurations; a command loads what it needs only.

Exit status: 0 done, 1 failed, 2 used wrongly, 130 stopped with Ctrl-C.
"""

from __future__ import annotations

import io
import os
import signal
import sys
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Annotated, Any, get_args

from cyclopts import App, CycloptsError, Parameter
from pydantic import BaseModel, ValidationError, create_model

import vaelib
from vaelib.config import ConfigError, explain, parse_axes
from vaelib.config import grid as combinations
from vaelib.store import INTERRUPTED

__all__ = ["add", "app", "choose_family", "main", "new_app", "run_app", "sweep", "train"]

FAMILY = "--model.family"
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
    ("data list", ".stored:list_data", "What data sets there are, and where they lie.", ""),
    ("data fetch", ".stored:fetch", "Verifies data sets, and downloads those that are not here.", "", "mnist"),
    (
        "train",
        ":train",
        "Trains one run, or loads it if it is in the store. A run that was stopped goes on from its last checkpoint.",
        "--data.name digits --model.latent-dim 5 --training.epochs 3",
    ),
    (
        "sweep",
        ":sweep",
        "Trains every combination of settings; a run that fails stops no other; again, it does only what is missing.",
        "--data.name digits --training.epochs 3 --grid model.latent-dim=2,5 seed=0,1,2",
        "--grid model.latent-dim=2,5,10,20 --scheduler tcp://head-node:8786",
    ),
    (
        "evaluate",
        ".stored:evaluate",
        "What a finished run is worth: its figures, and log p(x) by importance sampling, with the Monte Carlo error.",
        "digits-z5 --samples 500",
    ),
    (
        "runs list",
        ".stored:list_runs",
        "One line for each run: what it is and what it reached.",
        "",
        "--where data.name=mnist --sort elbo",
    ),
    ("runs show", ".stored:show", "A run's settings, figures, and what it was made with.", "digits-z5"),
    (
        "runs rm",
        ".stored:remove",
        "Deletes runs, also unfinished and damaged ones.",
        "digits-z5-0123456789abcdef --yes",
    ),
):
    add(app, _path, f"vaelib.cli{_target}", _help, *_examples)


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


# Training: the options are the settings of `RunConfig`, of the family that is named


def choose_family(arguments: Sequence[str], *commands: Any) -> None:
    """Gives `commands`, by default `train` and `sweep`, the options of the family that the arguments name.

    Raises:
        ConfigError: an unknown family; names the nearest.
    """
    from vaelib.models.base import family_of
    from vaelib.runs import RunConfig

    words = [word for argument in arguments for word in argument.split("=", 1)]
    name = words[words.index(FAMILY) + 1] if FAMILY in words[:-1] else "vae"
    family = family_of({"family": name})
    parts = {"model": family.Settings, "objective": family.Objective}
    fields: dict[str, Any] = {part: (kind, kind()) for part, kind in parts.items()}
    concrete = create_model("RunConfig", __base__=RunConfig, **fields)
    describe(concrete)
    for command in commands or (train, sweep):
        command.__annotations__["config"] = Annotated[concrete, Parameter(name="*")]
        command.__kwdefaults__["config"] = concrete()


def train(*, config: Any = None, quiet: bool = False) -> None:
    """
    Parameters
    ----------
    quiet
        show no progress
    """
    from vaelib import runs
    from vaelib.cli.stored import duration, metrics_table

    config, store = plain(config), runs.Store()
    held = store.holds(store.path(config))
    with stopping_at_an_epoch():
        run = runs.train(config, progress=False if quiet else None)
    print(run.path)
    print(f"{'loaded: it was trained before,' if held else 'trained'} in {duration(run.environment['seconds'])}")
    print(metrics_table(run.metrics, run.config.model.family))


def sweep(
    *, grid: list[str], config: Any = None, jobs: int | None = None, scheduler: str | None = None, together: int = 1
) -> int:
    """
    Parameters
    ----------
    grid
        settings and their values: model.latent-dim=2,5 seed=0,1,2
    jobs
        how many runs at a time on this machine; by default one a core
    scheduler
        the address of a dask scheduler whose workers train instead; they must see the store (VAELIB_RUNS)
    together
        how many runs of one shape each process trains in one program; equal to separate ones but for rounding
    """
    from vaelib import sweeps
    from vaelib.cli.stored import table

    result = sweeps.sweep(combinations(plain(config), **parse_axes(grid)), jobs, scheduler, together=together)
    print(table(result.table()))
    print(result.report(), file=sys.stderr)
    return int(bool(result.failures))


def plain(config: Any) -> Any:
    """The `RunConfig` that the options describe."""
    from vaelib.runs import RunConfig

    return RunConfig(**{name: getattr(config, name) for name in RunConfig.model_fields})


@contextmanager
def stopping_at_an_epoch() -> Iterator[None]:
    """The first Ctrl-C lets the current epoch end and saves a checkpoint, the second stops at once."""

    def stop(*_: Any) -> None:
        if INTERRUPTED.is_set():
            raise KeyboardInterrupt
        INTERRUPTED.set()
        print("vaelib: stopping at the end of this epoch (Ctrl-C again: at once)", file=sys.stderr, flush=True)

    previous = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)
        INTERRUPTED.clear()


def describe(settings: type[BaseModel], owner: str = "") -> None:
    """Gives each field without a description, also of inner settings, the words above."""
    for name, field in settings.model_fields.items():
        field.description = field.description or WORDS.get(owner + name)
        for kind in _inner(field.annotation):
            describe(kind, f"{owner}{name}.")


def _inner(annotation: object) -> list[type[BaseModel]]:
    """The settings in an annotation: itself, or each of a union."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [kind for part in get_args(annotation) for kind in _inner(part)]


WORDS = {
    "data.name": "a data set's name (vaelib data list), or a path to your own images",
    "data.split": "how the images are split into training, validation and test; by default the data set's first way",
    "data.split_seed": "the seed of the random split, and of static binarisation",
    "data.pixels": "grey: as they are; static: made black or white once; dynamic: anew in each batch",
    "data.size": "height x width, such as 64x64: images are resized to cover that, and cropped about their centre",
    "data.colour": "auto: images in colour stay so; grey and rgb convert all",
    "model.family": "which kind of model; the other options of model and objective are that family's own",
    "model.latent_dim": "the number of latents, Z",
    "model.hidden": "the widths of the encoder's layers, such as 500 500; the decoder has the same, reversed",
    "model.activation": "the function behind each hidden layer; identity makes a linear VAE",
    "model.init": "first weights: framework: torch's own; normal: drawn from N(0, init-std^2)",
    "model.init_std": "the standard deviation of first weights, with init normal",
    "model.output_bias": "average: the decoder starts at the average training image",
    "model.likelihood.name": "p(x|z): the distribution of a pixel",
    "model.likelihood.mean": "what makes the decoder's output a pixel's mean",
    "model.likelihood.sigma": "who sets the width: fixed: sigma-value; shared: one learned value; "
    "per-pixel: the decoder; optimal: the closed form that fits the errors best",
    "model.likelihood.sigma_value": "the width, or where the learned one starts",
    "model.likelihood.sigma_floor": "no width goes below it; by default half a grey level",
    "model.prior.name": "p(z); vamp and flow are learned, and need --objective.kl monte-carlo",
    "model.prior.pseudo_inputs": "the number of learned images of a vamp prior",
    "model.prior.transforms": "the number of steps of a flow prior",
    "model.prior.flow": "the kind of step of a flow prior",
    "model.prior.hidden": "the widths of an autoregressive prior's layers",
    "model.prior.dropout": "the share of an autoregressive prior's units that each step leaves out",
    "model.posterior.name": "q(z|x); planar and iaf need --objective.kl monte-carlo",
    "model.posterior.steps": "the number of steps of a planar posterior",
    "model.posterior.transforms": "the number of steps of an iaf posterior",
    "model.latents": "how many latents each level has, that next to the pixels first",
    "model.inference": "bottom-up: each level is drawn from the one below; ladder: from the top down, with the image",
    "model.batch_norm": "normalise the activations of each layer over the batch",
    "model.quantiser.name": "how codes are made: vq: the nearest vectors; fsq: rounded numbers",
    "model.quantiser.groups": "symbols in a code",
    "model.quantiser.codes": "vectors in each codebook",
    "model.quantiser.code_dim": "numbers in each vector",
    "model.quantiser.commitment": "the weight of the distance from an output to its vector",
    "model.quantiser.decay": "the share of a codebook that stays as it was in each batch",
    "model.quantiser.init": "first vectors: data: k-means of training images; random: without looking at images",
    "model.quantiser.revive": "below which share of even use a vector moves; 0 never moves one",
    "model.quantiser.levels": "how many levels each number of a code is rounded to",
    "model.groups": "symbols in a code",
    "model.codes": "values that each symbol can have",
    "objective.estimator": "how the gradient reaches the encoder",
    "objective.temperature": "the temperature of relaxed draws at the start",
    "objective.final_temperature": "the temperature that they cool down to",
    "objective.anneal_epochs": "epochs in which they cool",
    "objective.loss": "the game of critic and generator",
    "objective.gamma": "the weight of the two penalties on the gradients of the critic",
    "objective.algorithm": "aevb: climb the bound in encoder and decoder; wake-sleep: teach the encoder on dreams",
    "objective.bound": "what is maximised: the ELBO, or the importance-weighted bound",
    "objective.samples": "draws of z for each image in each step",
    "objective.kl": "analytic: the closed form; monte-carlo: estimated from the draws",
    "objective.beta": "the weight of the KL term",
    "objective.warmup_epochs": "epochs in which beta grows from 0 to its value",
    "objective.free_bits": "nats of KL that each latent has for nothing",
    "training.optimiser": "the rule by which weights change",
    "training.learning_rate": "the size of a step",
    "training.schedule": "cosine lowers the size of a step to zero over all epochs",
    "training.batch_size": "images in each step",
    "training.epochs": "passes over the training images",
    "training.weight_decay": "the weight of an L2 penalty on all weights",
    "training.clip_norm": "the largest norm of a gradient; longer ones are shortened; by default none is",
    "training.patience": "stop after so many epochs without a better validation loss; by default never",
    "training.device": "where to compute: auto, cpu, cuda or mps",
    "seed": "of first weights, batches and draws; the data's split has its own",
}
"""What ``--help`` says of each setting, in a user's words. A family may say it itself, in its fields' descriptions."""
