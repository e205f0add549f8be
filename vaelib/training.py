"""The training loop: knows data, losses and optimisers, nothing of VAEs."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Literal

import pandas as pd
import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from vaelib.config import Config
from vaelib.objectives import Loss
from vaelib.progress import bar
from vaelib.store import Checkpoint

__all__ = ["NonFiniteLossError", "TrainingConfig", "averages", "fit", "pick_device"]

# Adam's moments decay into denormal numbers, on which a CPU is many times slower. The flag must be set before torch
# starts its threads, hence here and not in `fit`.
torch.set_flush_denormal(True)

Losses = Loss | Sequence[tuple[Sequence[nn.Parameter], Loss]]
"""One loss for all parameters; or pairs of some parameters and their loss, which take turns on every batch."""

OPTIMISERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adagrad": torch.optim.Adagrad,
    "adam": torch.optim.Adam,
    "adam-no-momentum": partial(torch.optim.Adam, betas=(0.0, 0.99)),
    "sgd": torch.optim.SGD,
}
BAR = "{desc} {percentage:3.0f}%|{bar}| {elapsed}<{remaining}{postfix}"  # leaves a bar at 100 columns
KEPT = ("rows", "last", "best", "best_epoch", "best_loss", "waited", "seconds")  # of a `Session`, by a checkpoint


class TrainingConfig(Config):
    """How a loss is minimised.

    "adam-no-momentum" has betas (0, 0.99), for games: gradients of some steps ago answer an opponent who has moved on.
    `weight_decay` is torch's: an L2 term in the gradient. "cosine" lowers the step to zero along half a cosine over all
    `epochs`. `patience` stops a run whose held-out loss has not improved for so many
    epochs, and brings back its best weights; see `fit` for losses that change their meaning.
    """

    optimiser: Literal["adagrad", "adam", "adam-no-momentum", "sgd"] = "adam"
    learning_rate: float = Field(default=1e-3, gt=0)
    schedule: Literal["constant", "cosine"] = "constant"
    batch_size: PositiveInt = 128
    epochs: PositiveInt = 30
    weight_decay: float = Field(default=0.0, ge=0)
    clip_norm: float | None = Field(default=None, gt=0)
    patience: PositiveInt | None = None
    device: str = "auto"

    def rate_at(self, epoch: float) -> float:
        """The learning rate after `epoch` passes; fractions count."""
        if self.schedule == "constant":
            return self.learning_rate
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * epoch / self.epochs))


class NonFiniteLossError(RuntimeError):
    """The loss became nan or infinite. `model` holds its last good weights, `history` what was recorded before."""

    def __init__(self, message: str, model: nn.Module, history: pd.DataFrame) -> None:
        super().__init__(message)
        self.model, self.history = model, history

    def __reduce__(self) -> tuple[Any, ...]:  # so that it reaches the parent when a worker process raises it
        return type(self), (str(self), self.model, self.history)


def pick_device(name: str = "auto") -> torch.device:
    """The device called `name`; "auto" takes CUDA, else Apple's MPS, else the CPU.

    Raises:
        ValueError: when the device is unknown, not on this machine, or cannot compute.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.zeros((), device=name)
        device.item()  # "meta" has no numbers
        return device.device
    except (RuntimeError, AssertionError) as error:
        raise ValueError(
            f"device={name!r} cannot be used here ({str(error).splitlines()[0]}): use 'auto' or 'cpu'"
        ) from None


def fit(
    model: nn.Module,
    loss: Losses,
    train: Tensor,
    config: TrainingConfig,
    *,
    seed: int = 0,
    held_out: Mapping[str, Tensor] | None = None,
    settled: float = 0,
    checkpoint: Checkpoint | None = None,
    progress: bool | None = None,
    on_epoch: Callable[[dict[str, float]], object] | None = None,
) -> pd.DataFrame:
    """Minimises the mean of `loss` over `train` (N, D) by changing `model` in place; returns the history.

    The history has a row per epoch: epoch, samples_seen, and the mean of every figure that `loss` returns, as
    ``train_<figure>`` (averaged over the epoch's batches, while the weights moved) and as ``<name>_<figure>`` for each
    array of `held_out` (at the epoch's end, always with the same noise); "kept" marks the epoch whose weights the model
    has. Its ``attrs["seconds"]`` is the time taken. `on_epoch` is called with each row as it comes. Where several
    losses take turns, "loss" is their sum. `patience` watches the first of `held_out`, once `settled` epochs are over:
    a loss whose weights still change, as in a KL warm-up, has no best epoch.

    The same seed, data and number of threads give the same bits, also when a killed training goes on from `checkpoint`.
    `progress` None shows a bar to people only: in terminals and live notebooks, not in logs.

    Raises:
        ValueError: for data that is empty, not float32 (N, D) or not finite, or that the model's own `check` refuses.
        NonFiniteLossError: at the first loss that is nan or infinite.
    """
    if config.patience and not held_out:
        raise ValueError(
            f"patience={config.patience} needs held-out data to watch: pass held_out={{'validation': ...}}"
        )
    model.to(pick_device(config.device))
    data = checked(model, {"train": train, **(held_out or {})})
    train = data.pop("train")
    session = Session(model, loss, config, seed, settled)
    if checkpoint and (saved := checkpoint.load()):
        session.restore(saved)
    steps = math.ceil(len(train) / config.batch_size)
    done = len(session.rows) * steps
    with bar(total=config.epochs * steps, initial=done, unit="step", bar_format=BAR, show=progress) as shown:
        while not session.over:
            shown.set_description_str(f"epoch {len(session.rows) + 1}/{config.epochs}")
            start = time.perf_counter()
            session.finish_epoch(_epoch(session, train, shown.update), len(train), data)
            session.seconds += time.perf_counter() - start
            row = session.rows[-1]
            losses = {key.removesuffix("_loss"): value for key, value in row.items() if key.endswith("_loss")}
            shown.set_postfix_str(" ".join(f"{name} {value:.2f}" for name, value in losses.items()))
            if on_epoch:
                on_epoch(dict(row))
            if checkpoint and checkpoint.due() and not session.over:
                checkpoint.save(session.state())
    if config.patience:
        model.load_state_dict(session.best)
    model.eval()
    return session.history()


def averages(
    model: nn.Module, loss: Losses, x: Tensor, epoch: float = 0.0, *, batch_size: int = 1000, seed: int = 0
) -> dict[str, float]:
    """The mean over x (N, D) of every figure that `loss` returns, without training."""
    generator = torch.Generator(x.device).manual_seed(seed)
    was_training = model.training
    model.eval()
    with torch.no_grad():
        recorded = _Means()
        for batch in x.split(batch_size):
            for _, one in _pairs(model, loss):
                recorded.add(one(batch, epoch, generator), len(batch))
    model.train(was_training)
    return recorded.means()


def _epoch(session: Session, train: Tensor, tick: Callable[[], object]) -> dict[str, float]:
    """One pass over the data in random order; calls `tick` after each step."""
    model, config, epoch = session.model, session.config, len(session.rows)
    weights = list(model.parameters())
    model.train()
    recorded = _Means()
    batches = math.ceil(len(train) / config.batch_size)
    losses: list[Tensor] = []
    for step, batch in enumerate(shuffled(train, config.batch_size, session.generator)):
        progress = epoch + step / batches
        for turn, (_, loss) in enumerate(session.pairs):
            figures = loss(batch, progress, session.generator)
            mean_loss = figures["loss"].mean()
            losses.append(mean_loss.detach())
            if _answers_at_once(train.device) and not math.isfinite(mean_loss.item()):
                raise session.diverged(losses, batches)
            recorded.add(figures, len(batch))
            for weight in weights:  # as optimiser.zero_grad() does, in a tenth of the time
                weight.grad = None
            mean_loss.backward()
            session.step(turn, progress)
        tick()
    if not all(map(math.isfinite, torch.stack(losses).tolist())):
        raise session.diverged(losses, batches)
    return {f"train_{key}": value for key, value in recorded.means().items()}


def _answers_at_once(device: torch.device) -> bool:
    """Whether a loss can be looked at after each step. A GPU would be waited for: it is asked once, after the epoch."""
    return device.type == "cpu"


def shuffled(x: Tensor, batch_size: int, generator: torch.Generator) -> Iterator[Tensor]:
    for indices in torch.randperm(len(x), generator=generator, device=x.device).split(batch_size):
        yield x.index_select(0, indices)  # x[indices] in half the time


def _pairs(model: nn.Module, loss: Losses) -> list[tuple[list[nn.Parameter], Loss]]:
    if callable(loss):
        return [(list(model.parameters()), loss)]
    return [(list(parameters), one) for parameters, one in loss]


def _optimiser(parameters: list[nn.Parameter], config: TrainingConfig) -> torch.optim.Optimizer:
    settings: dict[str, Any] = {"lr": config.learning_rate, "weight_decay": config.weight_decay}
    if parameters[0].device.type in ("cpu", "cuda"):
        settings["fused"] = True  # all parameters are updated in one pass
    return OPTIMISERS[config.optimiser](parameters, **settings)


class _Means:
    """Copies of figures per example, kept until their means are asked for: a step then waits for none of them."""

    def __init__(self) -> None:
        self.values: dict[str, list[Tensor]] = {}

    def add(self, figures: Mapping[str, Tensor], examples: int) -> None:
        for key, value in figures.items():
            self.values.setdefault(key, []).append(value.detach().clone().expand(examples))

    def means(self) -> dict[str, float]:
        """A figure that several losses have, such as "loss" itself, is their sum: each has seen every example."""
        examples = min(sum(map(len, values)) for values in self.values.values())
        sums = {key: torch.cat(values).cpu().double() for key, values in self.values.items()}
        return {key: values.mean().item() * (len(values) // examples) for key, values in sums.items()}


class Session:
    """Everything that changes during training, so that it can be saved and taken up again."""

    def __init__(self, model: nn.Module, loss: Losses, config: TrainingConfig, seed: int, settled: float) -> None:
        self.model, self.config, self.seed, self.settled = model, config, seed, settled
        self.generator = torch.Generator(next(model.parameters()).device).manual_seed(seed)
        self.pairs = _pairs(model, loss)
        self.optimisers = [_optimiser(parameters, config) for parameters, _ in self.pairs]
        self.rows: list[dict[str, float]] = []
        self.last = self.best = self._weights()  # of the last epoch, and of the best on held-out data
        self.best_epoch, self.best_loss, self.waited, self.seconds = 0, math.inf, 0, 0.0

    def _weights(self) -> dict[str, Tensor]:
        return {key: value.clone() for key, value in self.model.state_dict().items()}

    @property
    def over(self) -> bool:
        patience = self.config.patience
        return len(self.rows) >= self.config.epochs or (patience is not None and self.waited >= patience)

    def step(self, turn: int, progress: float) -> None:
        """Moves the parameters whose turn it is along their gradients, after `progress` epochs; fractions count."""
        (parameters, _), optimiser = self.pairs[turn], self.optimisers[turn]
        for group in optimiser.param_groups:
            group["lr"] = self.config.rate_at(progress)
        if self.config.clip_norm:
            nn.utils.clip_grad_norm_(parameters, self.config.clip_norm)
        optimiser.step()

    def finish_epoch(self, row: dict[str, float], examples: int, held_out: Mapping[str, Tensor]) -> None:
        """Looks at `held_out`, and adds its figures to those of the epoch that is over."""
        epoch = len(self.rows) + 1
        for name, x in held_out.items():
            means = averages(self.model, self.pairs, x, epoch, seed=self.seed)
            row |= {f"{name}_{key}": value for key, value in means.items()}
        for name, value in row.items():  # the last step of an epoch shows in what is held out, or in the weights
            if name.endswith("_loss") and not math.isfinite(value):
                raise self.failure(f"{name} became {value} at the end of epoch {epoch}")
        if not all(bool(torch.isfinite(weight).all()) for weight in self.model.parameters()):
            raise self.failure(f"weights became nan or infinite at the end of epoch {epoch}")
        self.rows.append({"epoch": epoch, "samples_seen": epoch * examples, **row})
        self.last = self._weights()
        if epoch <= self.settled or not self.config.patience:
            self.best, self.best_epoch = self.last, epoch
            return
        watched = next(value for key, value in row.items() if key.endswith("_loss") and key != "train_loss")
        self.waited += 1
        if watched < self.best_loss:
            self.best, self.best_epoch, self.best_loss, self.waited = self.last, epoch, watched, 0

    def history(self) -> pd.DataFrame:
        history = pd.DataFrame(self.rows)
        if len(history):
            history["kept"] = history["epoch"] == self.best_epoch
        history.attrs["seconds"] = self.seconds
        return history

    def diverged(self, losses: Sequence[Tensor], batches: int) -> NonFiniteLossError:
        """What became of an epoch of so many `batches`: the first of its `losses` so far that is nan or infinite."""
        values = torch.stack(list(losses)).tolist()
        first = next(index for index, value in enumerate(values) if not math.isfinite(value))
        step = len(self.rows) * batches + first // len(self.pairs)
        what = f"the loss became {values[first]} at step {step}, epoch {len(self.rows) + 1}"
        return self.failure(what, untrained=first == step == 0)

    def failure(self, what: str, *, untrained: bool = False) -> NonFiniteLossError:
        """Brings back the last good weights and says what happened."""
        self.model.load_state_dict(self.last)
        self.best_epoch = len(self.rows)  # what the history calls kept
        kept = f"the end of epoch {len(self.rows)}" if self.rows else "the start"
        advice = f"Try a smaller learning_rate (now {self.config.learning_rate:g}) or set clip_norm"
        if untrained:
            advice = "No step was taken before: look at the images, the loss and the initial weights"
        text = f"{what} of {self.config.epochs}; the model keeps its weights of {kept}. {advice}"
        return NonFiniteLossError(text, self.model, self.history())

    def state(self) -> dict[str, Any]:
        """All of it, as `Checkpoint` keeps it."""
        state = {name: getattr(self, name) for name in KEPT}
        optimisers = [optimiser.state_dict() for optimiser in self.optimisers]
        return {**state, "optimisers": optimisers, "generator": self.generator.get_state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """The opposite of `state`."""
        for name in KEPT:
            setattr(self, name, state[name])
        self.model.load_state_dict(self.last)
        for optimiser, own in zip(self.optimisers, state["optimisers"], strict=True):
            optimiser.load_state_dict(own)
        self.generator.set_state(state["generator"])


def checked(model: nn.Module, data: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`data` where the model is, if it can learn from them."""
    weight = next(model.parameters())
    for name, x in data.items():
        if not isinstance(x, Tensor) or x.dim() != 2 or x.dtype != weight.dtype:
            what = f"{x.dtype} {tuple(x.shape)}" if isinstance(x, Tensor) else type(x).__name__
            raise ValueError(f"{name} data is {what}: expected a {weight.dtype} tensor (images, pixels)")
        if not len(x):
            raise ValueError(f"{name} data is empty: it needs at least one image")
        if not torch.isfinite(x).all():
            raise ValueError(f"{name} data holds nan or infinite values: clean it first")
        try:
            getattr(model, "check", lambda x: None)(x)
        except ValueError as error:
            raise ValueError(f"{name} data: {error}") from None
    return {name: x.to(weight.device) for name, x in data.items()}
