"""Runs that are trained together are the runs that they would be alone, but for rounding; and one ends for itself."""

import json
import math
import shutil

import pytest
import torch

from vaelib.config import ConfigError, amended, grid
from vaelib.data import DataConfig, prepare
from vaelib.members import Member, fit_members, grouped, train_group
from vaelib.models import VAEConfig, new_model
from vaelib.runs import RunConfig, Store, train
from vaelib.store import BusyError, Checkpoint
from vaelib.sweeps import sweep, train_all
from vaelib.training import NonFiniteLossError, TrainingConfig, fit

FILES = ("model.safetensors", "history.csv", "metrics.json")
UNLIKE = {  # three members that differ in all that may differ
    "seed": [0, 1, 2],
    "model.likelihood.sigma_value": [0.3, 0.2, 0.5],
    "training.learning_rate": [1e-3, 3e-3, 5e-4],
    "training.clip_norm": [None, 1.0, None],
    "training.weight_decay": [0.0, 0.0, 0.01],
    "training.schedule": ["constant", "cosine", "constant"],
    "training.optimiser": ["adam", "adagrad", "adam"],
    "training.epochs": [1, 2, 2],
}
WEIGHED = {"objective.beta": [1.0, 4.0, 0.5], "objective.warmup_epochs": [0, 1, 2]}
KINDS = {
    "gaussian": {"model.likelihood.name": "gaussian", **WEIGHED},
    "optimal sigma": {"model.likelihood.name": "gaussian", "model.likelihood.sigma": "optimal"},
    "dynamic pixels, free bits": {"data.pixels": "dynamic", "objective.free_bits": 0.1, **WEIGHED},
    "importance-weighted": {"objective.bound": "importance-weighted", "objective.samples": 3},
    "discretised": {"model.likelihood.name": "discretised-logistic", "data.name": "toyfaces"},
    "vamp": {"model.prior.name": "vamp", "model.prior.pseudo_inputs": 5, "objective.kl": "monte-carlo"},
    "planar": {"model.posterior.name": "planar", "model.posterior.steps": 2, "objective.kl": "monte-carlo", **WEIGHED},
    "hierarchical": {"model.family": "hierarchical", "model.latents": (4, 2), "model.hidden": (8,)},
    "batch norm": {  # biases before it have no gradient but rounding, along which Adam would take whole steps
        "model.family": "hierarchical",
        "model.latents": (4, 2),
        "model.hidden": (8,),
        "model.batch_norm": True,
        "training.optimiser": ["sgd", "sgd", "sgd"],
    },
}


def config(**changes):
    training = TrainingConfig(epochs=2, device="cpu")
    small = RunConfig(data=DataConfig(name="digits"), model=VAEConfig(latent_dim=2, hidden=(8,)), training=training)
    return amended(small, changes)


def unlike(settings):
    """Three configs of one shape: lists in `settings` have a value for each."""
    shared = {name: value for name, value in settings.items() if not isinstance(value, list)}
    own = {**UNLIKE, **{name: value for name, value in settings.items() if isinstance(value, list)}}
    return [amended(config(**shared), {name: values[i] for name, values in own.items()}) for i in range(3)]


def parts(data, images=260):
    prepared = prepare(data)
    return prepared, torch.from_numpy(prepared.train[:images]), {"test": torch.from_numpy(prepared.test[:50])}


def members(configs, prepared):
    return [Member(new_model(one.model, prepared.data.shape, one.seed), one) for one in configs]


def alone(one, prepared, x, held_out):
    """The model and history of a separate training."""
    model = new_model(one.model, prepared.data.shape, one.seed)
    losses = model.losses(one.objective, binarise=one.data.pixels == "dynamic")
    settled = one.objective.settled_epochs
    return model, fit(model, losses, x, one.training, seed=one.seed, held_out=held_out, settled=settled)


def assert_same(member, model, history, **tolerance):
    found = member.history()
    assert list(found.columns) == list(history.columns) and list(found["kept"]) == list(history["kept"])
    torch.testing.assert_close(
        torch.tensor(found.values.astype(float)), torch.tensor(history.values.astype(float)), **tolerance
    )
    torch.testing.assert_close(member.model.state_dict(), model.state_dict(), **tolerance)


@pytest.mark.parametrize("kind", KINDS)
def test_each_member_takes_the_steps_of_its_separate_training(kind):
    configs = unlike(KINDS[kind])
    prepared, x, held_out = parts(configs[0].data)  # two batches of 128 and one of 4 in each epoch
    trained = members(configs, prepared)
    fit_members(trained, x, held_out=held_out)
    for member, one in zip(trained, configs, strict=True):
        assert_same(member, *alone(one, prepared, x, held_out), rtol=1e-4, atol=1e-5)


def test_over_epochs_the_members_are_those_of_other_seeds_at_most():
    configs = grid(config(**{"training.epochs": 5}), seed=list(range(6)))
    prepared, x, held_out = parts(configs[0].data, 1000)
    trained = members(configs, prepared)
    fit_members(trained, x, held_out=held_out)
    together = torch.tensor([member.history()["test_elbo"].iloc[-1] for member in trained])
    apart = torch.tensor([alone(one, prepared, x, held_out)[1]["test_elbo"].iloc[-1] for one in configs])
    assert abs(together.mean() - apart.mean()) < apart.std() / math.sqrt(len(configs))


def test_each_member_has_its_own_patience():
    configs = grid(
        config(**{"training.epochs": 12, "training.patience": 1}), **{"training.learning_rate": [1e-3, 0.3, 0.1]}
    )
    prepared, x, held_out = parts(configs[0].data)
    trained = members(configs, prepared)
    fit_members(trained, x, held_out=held_out)
    lengths = [len(member.history()) for member in trained]
    assert len(set(lengths)) > 1
    for member, one in zip(trained, configs, strict=True):
        assert_same(member, *alone(one, prepared, x, held_out), rtol=1e-3, atol=1e-4)


def test_members_of_several_shapes_are_refused():
    wrong = {
        "model.hidden": ([(8,), (9,)], "each tensor to be equal size"),
        "training.batch_size": ([64, 128], "batches"),
    }
    for name, (values, said) in wrong.items():
        configs = grid(config(), **{name: values})
        prepared, x, _ = parts(configs[0].data)
        with pytest.raises((ValueError, RuntimeError), match=said):
            fit_members(members(configs, prepared), x)


# Groups


def test_groups_depend_on_the_request_alone():
    a, b = config(), config(**{"model.latent_dim": 3})
    of_a, of_b = grid(a, seed=[0, 1, 2]), grid(b, seed=[0, 1, 2])
    mixed = [of_a[0], of_b[0], of_a[1], of_b[1], of_a[0], of_a[2], of_b[2]]
    assert grouped(mixed, 2) == [(of_a[0], of_a[1]), (of_b[0], of_b[1]), (of_a[2],), (of_b[2],)]
    assert grouped(mixed, 1) == [(one,) for one in dict.fromkeys(mixed)]
    assert grouped(mixed, 99) == [tuple(of_a), tuple(of_b)]
    same_shape = unlike(KINDS["gaussian"])
    assert grouped(same_shape, 3) == [tuple(same_shape)]
    for name, value in {"data.split_seed": 1, "training.batch_size": 7, "objective.samples": 2}.items():
        assert len(grouped([a, amended(a, {name: value})], 2)) == 2, name
    for wrong in (0, -1):
        with pytest.raises(ConfigError, match=f"together={wrong}: expected 1 or more"):
            sweep([a], together=wrong)


@pytest.mark.parametrize(
    "changes, why",
    [
        ({"model.family": "gan"}, "gan .losses that take turns"),
        ({"objective.algorithm": "wake-sleep"}, "vae .losses that take turns"),
        ({"model.family": "categorical"}, "categorical .exponential_ draws what depends on weights"),
        (
            {"objective.bound": "importance-weighted", "objective.samples": 3, "objective.estimator": "dreg"},
            "vae .a step of all at once is another than their own",
        ),
    ],
)
def test_what_cannot_be_trained_together_is_trained_alone_and_said_once(changes, why, store):
    configs = grid(config(**changes, **{"training.epochs": 1}), seed=[0, 1, 2])
    with pytest.warns(UserWarning, match=f"trained alone: {why}") as said:
        runs = train_all(configs, jobs=1, together=2)
    assert len(said) == 1 and all("together" not in run.environment for run in runs)


def test_what_fails_alone_says_so_itself_and_a_fault_of_ours_is_no_refusal(store, monkeypatch, recwarn):
    wrong = grid(config(**{"model.posterior.name": "planar"}), seed=[0, 1])  # whose KL has no closed form
    result = sweep(wrong, jobs=1, together=2)
    assert not recwarn and [str(error).count("use kl='monte-carlo'") for error in result.failures.values()] == [1, 1]
    monkeypatch.setattr("vaelib.members._Stack.backward", lambda stack, loss: {}["a bug"])
    with pytest.raises(KeyError, match="a bug"):
        sweep(grid(config(), seed=[0, 1]), jobs=1, together=2)


def test_a_group_is_stored_as_its_runs_and_says_so(store):
    configs = unlike(KINDS["gaussian"])
    runs = train_all(configs, jobs=1, together=3)
    assert [run.config for run in runs] == configs
    assert [run.environment["together"] for run in runs] == [3, 3, 3]
    assert sorted(path.name for path in store.iterdir() if not path.name.endswith(".lock")) == sorted(
        run.path.name for run in runs
    )
    metrics = [run.metrics["test"]["elbo"] for run in runs]
    shutil.rmtree(store)
    apart = train_all(configs, jobs=1)
    assert all("together" not in run.environment for run in apart)
    assert [run.metrics["test"]["elbo"] for run in apart] == pytest.approx(metrics, rel=1e-3)


def bits(configs):
    return [[(Store().path(one) / name).read_bytes() for name in FILES] for one in configs]


def test_the_same_request_gives_the_same_bits_whatever_the_store_holds(store):
    configs = unlike(KINDS["gaussian"])
    train_all(configs, jobs=1, together=3)
    first = bits(configs)
    shutil.rmtree(store)
    other = train(configs[1].replace(seed=9))
    before = train(configs[1])
    train_all(configs, jobs=1, together=3)
    again = bits(configs)
    assert (again[0], again[2]) == (first[0], first[2])
    assert "together" not in Store().load(before.path).environment and other.path.exists()


def test_a_group_that_was_killed_goes_on_to_the_same_bits(store, monkeypatch):
    configs = [amended(one, {"training.epochs": 4}) for one in unlike(KINDS["gaussian"])]
    configs[1] = amended(configs[1], {"training.optimiser": "sgd", "training.learning_rate": 1e30})  # diverges at once
    undisturbed = train_group(tuple(configs))
    expected = bits([configs[0], configs[2]])
    shutil.rmtree(store)
    save, saved = Checkpoint.save, []

    def save_and_die(self, state):
        save(self, state)
        saved.append(self.path)
        if len(saved) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoint, "save", save_and_die)
    with pytest.raises(KeyboardInterrupt):
        train_group(tuple(configs), checkpoint_seconds=0)
    assert saved[0].exists() and not any(Store().path(one).exists() for one in configs)
    monkeypatch.undo()
    monkeypatch.setenv("VAELIB_RUNS", str(store))
    found = train_group(tuple(configs))
    assert bits([configs[0], configs[2]]) == expected and not saved[0].exists()
    assert isinstance(found[1], NonFiniteLossError) and str(found[1]) == str(undisturbed[1])


def test_a_member_that_diverges_stops_no_other(store):
    wild = config(**{"training.optimiser": "sgd", "training.learning_rate": 1e30})
    configs = [config(), wild, config(seed=1)]
    result = sweep(configs, jobs=1, together=3)
    assert [run.config for run in result.runs] == [configs[0], configs[2]] and list(result.failures) == [wild]
    error = result.failures[wild]
    assert isinstance(error, NonFiniteLossError) and "the loss became" in str(error)
    assert all(torch.isfinite(weight).all() for weight in error.model.parameters())
    with pytest.raises(NonFiniteLossError) as separate:
        train(wild)
    assert str(error) == str(separate.value)
    apart = [train(one.replace(seed=one.seed)) for one in (configs[0], configs[2])]
    assert [run.path for run in apart] == [run.path for run in result.runs]


def test_a_group_waits_for_whoever_trains_one_of_its_runs(store):
    configs = grid(config(), seed=[0, 1])
    with Store().exclusive(Store().path(configs[1])), pytest.raises(BusyError):
        train_group(tuple(configs), wait=False)
    assert all(not isinstance(found, Exception) for found in train_group(tuple(configs), wait=False))


def test_the_command_line_takes_groups(store, vaelib):
    line = "sweep --data.name digits --model.hidden 8 --training.epochs 1 --training.device cpu --grid seed=0,1,2,3"
    status, _, err = vaelib(f"{line} --jobs 1 --together 2")
    assert status == 0 and "runs: 4 finished, 0 failed" in err
    runs = [Store().load(name) for name in Store().names()]
    assert [json.loads((run.path / "environment.json").read_text())["together"] for run in runs] == [2] * 4
    assert vaelib(f"{line} --together 0")[0] == 2
