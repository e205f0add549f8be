"""Runs of one shape in one program: a step of their training is computed for all of them at once.

The weights of all lie in stacks, (M, ...), and `torch.func.vmap` takes the models' own loss over them. All else is each
member's own, as in `training.fit`: optimiser, noise, order of the images, patience and history.
"""

from __future__ import annotations

import hashlib
import math
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap
from torch.overrides import TorchFunctionMode

from vaelib.config import ConfigError, flat
from vaelib.data import Prepared, prepare
from vaelib.models import LatentVariableModel, new_model
from vaelib.progress import bar
from vaelib.runs import RunConfig, Store, files_of, parts_of
from vaelib.store import Checkpoint
from vaelib.training import BAR, NonFiniteLossError, Session, TrainingConfig, checked, pick_device, shuffled

__all__ = ["Group", "Member", "fit_members", "grouped", "suited", "train_group"]

Group = tuple[RunConfig, ...]
NUMBERS = ("beta", "warmup_epochs")  # the settings of an objective that may differ between members
FREE = {"seed", "model.likelihood.sigma_value", *(f"objective.{name}" for name in NUMBERS)}
FREE |= {f"training.{name}" for name in TrainingConfig.model_fields if name not in ("batch_size", "device")}
TRIED = 8  # images


def grouped(configs: Iterable[RunConfig], together: int) -> list[Group]:
    """`configs`, each once and in order, in groups of one shape with at most `together` members.

    Runs of one shape differ in seed, sigma_value, beta, warm-up and training at most, and there not in batch size and
    device. Groups depend on the request alone, not on what the store holds: the same request gives the same bits.

    Raises:
        ConfigError: `together` cannot be used.
    """
    if together < 1:
        raise ConfigError(f"together={together}: expected 1 or more")
    groups: list[list[RunConfig]] = []
    open_groups: dict[str, list[RunConfig]] = {}
    for config in dict.fromkeys(configs):
        shape = repr({name: value for name, value in flat(config).items() if name not in FREE})
        if len(open_groups.get(shape, ())) in (0, together):
            groups.append([])
            open_groups[shape] = groups[-1]
        open_groups[shape].append(config)
    return [tuple(group) for group in groups]


def suited(groups: Iterable[Group]) -> list[Group]:
    """The groups that can be trained together, and the members of all others alone, with one warning."""
    found: list[Group] = []
    refused: dict[str, str] = {}
    for group in groups:
        why = _refusal(group) if len(group) > 1 else None
        if why:
            refused[group[0].model.family] = why
        found += [group] if why is None else [(config,) for config in group]
    if refused:
        what = "; ".join(f"{family} ({why})" for family, why in refused.items())
        warnings.warn(f"not every family can be trained together; these runs are trained alone: {what}", stacklevel=3)
    return found


def _refusal(group: Group) -> str | None:
    """Why runs cannot be trained together, or None: a step on a few images is tried, by each alone, then together.

    What fails alone is no matter of this: "" lets the run itself say so.
    """
    pair, prepared = (group[0], group[-1]), prepare(group[0].data)
    x = torch.from_numpy(prepared.train[:TRIED])
    try:
        if len(new_model(pair[0].model, prepared.data.shape).losses(pair[0].objective)) > 1:
            return "losses that take turns"
        alone, joint = _members(pair, prepared), _members(pair, prepared)
        x = x.to(joint[0].generator.device)
        expected = [one.pairs[0][1](x, 0.5, one.generator) for one in alone]
        for figures in expected:
            figures["loss"].mean().backward()
    except Exception:
        return ""
    stack = _Stack(joint)
    try:
        together = stack.figures(x.expand(len(joint), *x.shape), 0.5)
        stack.backward(together["loss"].reshape(len(joint), -1).mean(1))
        for index, (one, twin) in enumerate(zip(alone, joint, strict=True)):
            _must_be_close({key: value[index] for key, value in together.items()}, dict(expected[index]))
            _must_be_close(list(twin.model.buffers()), list(one.model.buffers()))
            for weight, memory in zip(one.model.parameters(), twin.memory.values(), strict=True):
                _must_be_close(memory.grad, None if weight.grad is None else _turned(weight.grad))
    except RuntimeError as error:  # vmap cannot do something that the loss asks for
        return " ".join(str(error).split())[:100]
    except AssertionError:
        return "a step of all at once is another than their own"
    return None


_must_be_close = partial(torch.testing.assert_close, rtol=1e-3, atol=1e-5)


def train_group(
    configs: Group, *, progress: bool | None = None, checkpoint_seconds: float = 30.0, wait: bool = True
) -> list[Path | NonFiniteLossError]:
    """Trains runs of one shape together and stores those that are missing; says where each is, or why it failed.

    Runs that the store has are trained along, or the bits of the others would depend on which those are. A group that
    was killed goes on from its last checkpoint, to the same bits.

    Raises:
        BusyError: another process is at work on one of them, with `wait` False.
        ConfigError, DataError, StoreError: as of `runs.train`.
    """
    store = Store()
    paths = [store.path(config) for config in configs]
    digest = hashlib.sha256("\n".join(path.name for path in paths).encode()).hexdigest()[:16]
    checkpoint = store.checkpoint(store.folder / f"group-of-{len(paths)}-{digest}", checkpoint_seconds)
    found: list[Path | NonFiniteLossError] = list(paths)
    with ExitStack() as locks:
        for path in sorted(set(paths)):  # in one order: no two processes then wait for each other
            locks.enter_context(store.exclusive(path, wait))
        missing = [path for path in paths if not store.holds(path, set_aside=True)]
        if missing:
            prepared = prepare(configs[0].data)
            parts, *_ = (parts_of(config, prepared) for config in configs)  # of one data set; each sees to its patience
            members = _members(configs, prepared, parts["train"])
            held_out = {name: x for name, x in parts.items() if name != "train"}
            fit_members(members, parts["train"], held_out=held_out, checkpoint=checkpoint, progress=progress)
            made = {"together": len(configs)}
            for index, (config, path, member) in enumerate(zip(configs, paths, members, strict=True)):
                try:
                    if member.error:
                        raise member.error
                    if path in missing:
                        history = member.history()
                        store.write(path, files_of(config, prepared, member.model.cpu(), history, parts, made))
                except NonFiniteLossError as error:
                    found[index] = error
    checkpoint.clear()
    return found


def _members(configs: Sequence[RunConfig], prepared: Prepared, train: Tensor | None = None) -> list[Member]:
    models = [new_model(config.model, prepared.data.shape, config.seed) for config in configs]
    if train is not None:
        for model in models:
            model.start(train)
    return [Member(model, config) for model, config in zip(models, configs, strict=True)]


class Member(Session):
    """One of the models that are trained together, as `training.fit` would train it; `error` says how it diverged."""

    model: LatentVariableModel

    def __init__(self, model: LatentVariableModel, config: RunConfig) -> None:
        self.objective, self.binarise = config.objective, config.data.pixels == "dynamic"
        model.to(pick_device(config.training.device))
        ((parameters, loss),) = model.losses(self.objective, binarise=self.binarise)  # some families have more
        self.memory = {weight: _turned(weight.detach()).contiguous() for weight in model.parameters()}
        self.read_memory()
        moved: Any = [self.memory[weight] for weight in parameters]
        super().__init__(model, [(moved, loss)], config.training, config.seed, self.objective.settled_epochs)
        self.error: NonFiniteLossError | None = None

    @property
    def over(self) -> bool:
        return self.error is not None or super().over

    def read_memory(self) -> None:
        """Lets the model's weights be what lies in `memory`, which the optimiser moves."""
        for weight, memory in self.memory.items():
            weight.data = _turned(memory)

    def end(self, row: dict[str, float], losses: Tensor, examples: int, held_out: Mapping[str, Tensor]) -> None:
        """Ends an epoch, of whose steps these are the losses, (steps,)."""
        try:
            if not torch.isfinite(losses).all():
                raise self.diverged(list(losses), len(losses))
            self.finish_epoch(row, examples, held_out)
        except NonFiniteLossError as error:
            self.error = error

    def state(self) -> dict[str, Any]:
        return {**super().state(), "failed": str(self.error) if self.error else None}

    def restore(self, state: Mapping[str, Any]) -> None:
        super().restore(state)
        if state["failed"]:
            self.error = NonFiniteLossError(state["failed"], self.model, self.history())

    def leave(self) -> None:
        """Gives the model the weights that are kept, in memory of its own."""
        if self.error is None and self.config.patience:
            self.model.load_state_dict(self.best)
        for values in (*self.model.parameters(), *self.model.buffers()):
            values.data = values.data.clone(memory_format=torch.contiguous_format)
        self.model.eval()


def fit_members(
    members: Sequence[Member],
    train: Tensor,
    *,
    held_out: Mapping[str, Tensor] | None = None,
    checkpoint: Checkpoint | None = None,
    progress: bool | None = None,
) -> None:
    """`training.fit` for models of one shape at once, with batches of one size; each has a `history` then.

    A member equals its separate training but for the rounding of float32, which training amplifies. It leaves when its
    own epochs or patience are over, or when it diverges; the others go on. A history's "seconds" are a member's share.

    Raises:
        ValueError: for members of several batch sizes, and for data as `fit` does. RuntimeError: of several shapes.
    """
    if len({member.config.batch_size for member in members}) > 1:
        raise ValueError("members must have batches of the same size")
    data = checked(members[0].model, {"train": train, **(held_out or {})})
    train = data.pop("train")
    if checkpoint and (saved := checkpoint.load()):
        for member, own in zip(members, saved, strict=True):
            member.restore(own)
    steps = math.ceil(len(train) / members[0].config.batch_size)
    total = max(member.config.epochs for member in members)
    done = max(len(member.rows) for member in members)
    active: list[Member] = []
    with bar(total=total * steps, initial=done * steps, unit="step", bar_format=BAR, show=progress) as shown:
        while left := [member for member in members if not member.over]:
            start = time.perf_counter()
            if left != active:
                active, stack = left, _Stack(left)
            rows, losses = _epoch(active, stack, train, shown.update)
            for member, row, own in zip(active, rows, losses, strict=True):
                member.end(row, own, len(train), data)
            for member in active:
                member.seconds += (time.perf_counter() - start) / len(active)
            if checkpoint and checkpoint.due() and not all(member.over for member in members):
                checkpoint.save([member.state() for member in members])
    for member in members:
        member.leave()


def _epoch(
    members: Sequence[Member], stack: _Stack, train: Tensor, tick: Callable[[], object]
) -> tuple[list[dict[str, float]], Tensor]:
    """One pass of each member over the data in its own order: a row of history each, and their losses (M, steps)."""
    count, size, done = len(members), members[0].config.batch_size, len(members[0].rows)
    steps = math.ceil(len(train) / size)
    for member in members:
        member.model.train()
    recorded: dict[str, list[Tensor]] = {}
    losses: list[Tensor] = []
    orders = (shuffled(train, size, member.generator) for member in members)
    for step, batches in enumerate(zip(*orders, strict=True)):
        progress = done + step / steps
        figures = stack.figures(torch.stack(batches), progress)
        mean_loss = figures["loss"].reshape(count, -1).mean(1)
        losses.append(mean_loss.detach())
        for key, value in figures.items():
            own = value.detach().clone().reshape(count, -1)
            recorded.setdefault(key, []).append(own.expand(-1, len(batches[0])))
        stack.backward(mean_loss)
        for member in members:
            member.step(0, progress)
        tick()
    means = {f"train_{key}": torch.cat(values, 1).cpu().double().mean(1).tolist() for key, values in recorded.items()}
    return [{key: values[m] for key, values in means.items()} for m in range(count)], torch.stack(losses, 1)


class _Stack:
    """The weights and buffers of members in stacks, (M, ...): each model works on its slice of them."""

    def __init__(self, members: Sequence[Member]) -> None:
        models = [member.model for member in members]
        self.buffers = _stacked([[buffer for _, buffer in model.named_buffers()] for model in models])
        self.memory = [list(member.memory.values()) for member in members]
        self.weights = [stack.requires_grad_() for stack in _stacked(self.memory)]
        for member in members:
            member.read_memory()
        self.names = [f"model.{name}" for name, _ in (*models[0].named_parameters(), *models[0].named_buffers())]
        self.first, self.call = members[0], _Call(models[0])
        self.generators, device = [member.generator for member in members], members[0].generator.device
        self.any_generator, self.index = torch.Generator(device), torch.arange(len(members), device=device)
        own = {
            name: [getattr(m.objective, name) for m in members]
            for name in NUMBERS
            if hasattr(self.first.objective, name)
        }
        self.numbers = {name: torch.tensor(values, dtype=torch.float32, device=device) for name, values in own.items()}

    def figures(self, x: Tensor, epoch: float) -> dict[str, Tensor]:
        """What the members' losses return of batches x (M, B, D): "loss" and others, (M, B) or (M,) each."""
        model, objective, binarise = self.first.model, self.first.objective, self.first.binarise

        def of_one(weights: Any, buffers: Any, numbers: Any, x: Tensor, member: Tensor) -> dict[str, Tensor]:
            state = dict(zip(self.names, (*map(_turned, weights), *buffers), strict=True))
            ((_, loss),) = model.losses(objective.model_copy(update=numbers), binarise=binarise)
            with _Draws(self.any_generator, self.generators, member):
                return dict(functional_call(self.call, state, (loss, x, epoch, self.any_generator)))

        return vmap(of_one)(self.weights, self.buffers, self.numbers, x, self.index)

    def backward(self, loss: Tensor) -> None:
        """Gives each model's parameters the gradient of its loss (M,)."""
        for stack in self.weights:
            stack.grad = None
        loss.sum().backward()  # no member's loss knows of another's weights
        for index, memory in enumerate(self.memory):
            for own, stack in zip(memory, self.weights, strict=True):
                own.grad = None if stack.grad is None else stack.grad[index]


def _stacked(members: Sequence[Sequence[Tensor]]) -> list[Tensor]:
    """The first tensors of all members in one stack, the second in another, and so on; from here on each is a slice."""
    stacks = [torch.stack([tensor.detach() for tensor in same]) for same in zip(*members, strict=True)]
    for index, own in enumerate(members):
        for tensor, stack in zip(own, stacks, strict=True):
            tensor.data = stack[index]
    return stacks


def _turned(weight: Tensor) -> Tensor:
    """A weight as it lies in memory, or back: (out, in) <-> (in, out). Stacks are multiplied faster so."""
    return weight.mT if weight.dim() > 1 else weight


class _Call(nn.Module):
    """Lets `functional_call`, which calls modules, call a loss of `model`."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, loss: Callable[..., Mapping[str, Tensor]], *arguments: Any) -> Mapping[str, Tensor]:
        return loss(*arguments)


class _Draws(TorchFunctionMode):
    """Within `vmap`: what is drawn with `any_generator` is drawn for each member with its own."""

    def __init__(self, any_generator: torch.Generator, own: Sequence[torch.Generator], member: Tensor) -> None:
        super().__init__()
        self.any_generator, self.own, self.member = any_generator, own, member

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if kwargs.get("generator") is not self.any_generator:
            return function(*args, **kwargs)
        if any(isinstance(value, Tensor) for value in args):
            raise RuntimeError(f"{function.__name__} draws what depends on weights")
        return _Drawn.apply(lambda own: function(*args, **{**kwargs, "generator": own}), self.own, self.member)


class _Drawn(torch.autograd.Function):
    """A draw for each member. That of its stack is how `vmap` asks for it; without `vmap` there is none."""

    @staticmethod
    def forward(draw: Callable[..., Tensor], generators: Sequence[torch.Generator], member: Tensor) -> Tensor:
        raise RuntimeError("members are drawn for within vmap alone")

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Tensor) -> None:
        ctx.mark_non_differentiable(output)

    @staticmethod
    def vmap(info: Any, dims: Any, draw: Any, generators: Any, member: Tensor) -> tuple[Tensor, int]:
        return torch.stack([draw(generator) for generator in generators]), 0
