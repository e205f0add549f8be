"""Runs: trained once, named by all that decides them, given back to those only who asked for them. On digits."""

import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from vaelib import data, runs
from vaelib.config import ConfigError, amended, grid
from vaelib.data import NAMES, DataConfig, DataError, MissingDataError, binarise, prepare
from vaelib.evaluation import summary
from vaelib.models import VAE, ObjectiveConfig, VAEConfig
from vaelib.models.base import family_of
from vaelib.priors import VampConfig
from vaelib.runs import Run, RunConfig, Store, data_of, train
from vaelib.store import BrokenRunError, StoreError
from vaelib.sweeps import train_all
from vaelib.training import NonFiniteLossError, TrainingConfig

pytestmark = pytest.mark.usefixtures("store")


def config(**changes):
    small = RunConfig(
        data=DataConfig(name="digits"),
        model=VAEConfig(latent_dim=2, hidden=(8,)),
        training=TrainingConfig(epochs=2, device="cpu"),
    )
    return small.replace(**changes)


def leftovers(store):
    return [path.name for path in store.iterdir() if not path.name.endswith(".lock")]


def weights(run):
    return torch.cat([value.flatten() for value in run.model.state_dict().values()])


def test_a_run_is_trained_once_and_comes_back_the_same(monkeypatch):
    first = train(config())
    monkeypatch.setattr(runs, "fit", None)  # training again would fail
    again = train(config())
    assert torch.equal(weights(first), weights(again))
    assert first.history.equals(again.history) and first.metrics == again.metrics
    assert first.config == again.config == config()
    assert not again.model.training


def test_a_run_holds_what_was_promised(store):
    run = train(config())
    assert {path.name for path in run.path.iterdir()} == {
        "config.json",
        "environment.json",
        "history.csv",
        "manifest.json",
        "metrics.json",
        "model.safetensors",
    }
    assert [path.name for path in store.iterdir() if not path.name.endswith(".lock")] == [run.path.name]
    assert run.environment["torch"] == torch.__version__
    assert list(run.environment["data"]) and run.environment["threads"] >= 1
    assert set(run.metrics["test"]) == {"elbo", "reconstruction", "kl", "squared_error", "active_units"}
    elbo, reconstruction, kl = (run.metrics["test"][name] for name in ("elbo", "reconstruction", "kl"))
    assert elbo == pytest.approx(reconstruction - kl, rel=1e-5)
    assert {"train_elbo", "validation_elbo", "test_elbo"} <= set(run.history.columns)


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"model": VAEConfig(latent_dim=3, hidden=(8,))},
        {"training": TrainingConfig(epochs=3)},
        {"data": DataConfig(name="digits", split="time")},
    ],
)
def test_whatever_decides_the_result_decides_the_directory(change):
    assert Store().path(config(**change)) != Store().path(config())


def test_the_decoder_can_start_at_the_average_image():
    unmoved = config(training=TrainingConfig(epochs=1, learning_rate=1e-12, device="cpu"))
    run = train(unmoved.replace(model=unmoved.model.replace(output_bias="average")))
    average = torch.from_numpy(prepare(unmoved.data).train).mean(0).clamp(1e-3, 1 - 1e-3)
    torch.testing.assert_close(torch.sigmoid(run.model.decoder.outputs.bias), average)


def test_own_images_are_known_by_their_content(tmp_path):
    def directory(name, seed):
        images = np.random.default_rng(seed).integers(0, 256, (20, 4, 5), dtype=np.uint8)
        np.save(tmp_path / name, images)
        return Store().path(config(data=DataConfig(name=str(tmp_path / name))))

    first = directory("mine.npy", 0)
    (tmp_path / "elsewhere").mkdir()
    assert directory("elsewhere/mine.npy", 0) == first
    assert directory("mine.npy", 1) != first


def test_the_result_does_not_depend_on_torchs_global_seed():
    torch.manual_seed(1)
    first = weights(train(config()))
    Store().remove(Store().path(config()).name)
    torch.manual_seed(2)
    state = torch.random.get_rng_state()
    assert torch.equal(first, weights(train(config())))
    assert torch.equal(state, torch.random.get_rng_state())


def test_a_run_that_fails_leaves_nothing_behind(store):
    with pytest.raises(NonFiniteLossError):
        train(config(training=TrainingConfig(optimiser="sgd", learning_rate=1e30, epochs=2)))
    assert leftovers(store) == []


def test_bad_settings_are_refused_before_any_work():
    with pytest.raises(ConfigError, match="did you mean 'random'"):
        train(config(data=DataConfig(name="digits", split="randum")))
    with pytest.raises(ConfigError, match="did you mean 'digits'"):
        train(config(data=DataConfig(name="digitz")))


@pytest.mark.parametrize("likelihood", ["gaussian", "discretised-logistic", "bernoulli"])
def test_every_likelihood_trains_end_to_end(likelihood):
    model = VAEConfig(latent_dim=2, hidden=(8,), likelihood={"name": likelihood})
    history = train(config(model=model, training=TrainingConfig(epochs=8, batch_size=32))).history
    assert history["train_elbo"].iloc[-1] > history["train_elbo"].iloc[0]


# Names


class Tuned(VAEConfig):
    """The settings of a version of vaelib whose default has changed."""

    init_std: float = 0.2


def test_a_changed_default_gives_another_name():
    here = config()
    there = here.replace(model=Tuned(latent_dim=2, hidden=(8,)))
    assert there.model.model_dump(exclude_unset=True) == here.model.model_dump(exclude_unset=True)
    assert Store().path(there) != Store().path(here)


def test_a_setting_more_gives_another_name():
    class More(VAEConfig):
        skip: bool = False

    assert Store().path(config(model=More(latent_dim=2, hidden=(8,)))) != Store().path(config())


def test_another_version_of_the_family_gives_another_name(monkeypatch):
    before = Store().path(config())
    monkeypatch.setattr(VAE, "version", VAE.version + 1)
    assert Store().path(config()) != before


def test_another_format_of_the_store_gives_another_name(monkeypatch):
    before = Store().path(config())
    monkeypatch.setattr(runs, "FORMAT", runs.FORMAT + 1)
    assert Store().path(config()) != before


def test_settings_given_or_left_at_their_default_give_the_same_name():
    plain, spelt = RunConfig(data=DataConfig(name="digits")), RunConfig(**RunConfig().model_dump(mode="json"))
    assert Store().path(spelt.replace(data=DataConfig(name="digits", split_seed=0))) == Store().path(plain)


def test_a_name_says_what_it_is_and_fits_any_file_system(tmp_path):
    assert Store().path(config()).name.startswith("digits-z2-")
    images = np.random.default_rng(0).integers(0, 256, (20, 3, 5), dtype=np.uint8)
    odd = tmp_path / ("x <img src=y onerror=z>\n" + 80 * "a" + ".npy")
    np.save(odd, images)
    name = Store().path(config(data=DataConfig(name=str(odd)))).name
    assert len(name) < 100 and not set(name) & set(" <>=\n/") and not name.startswith(".")
    np.save(tmp_path / ".faces.npy", images)
    assert not Store().path(config(data=DataConfig(name=str(tmp_path / ".faces.npy")))).name.startswith(".")


@pytest.mark.parametrize("name", ["mnist", "frey"])
def test_naming_a_run_of_published_data_loads_none(monkeypatch, name):
    def fail(*_, **__):
        raise AssertionError("data were loaded")

    for function in ("load", "load_mnist", "load_frey", "read"):
        monkeypatch.setattr(f"vaelib.data.{function}", fail)
    monkeypatch.setattr("vaelib.data.LOADERS", dict.fromkeys(NAMES, fail))
    wanted = config(data=DataConfig(name=name))
    assert Store().path(wanted).name.startswith(f"{name}-z2-")
    assert len({Store().path(one) for one in grid(wanted, **{"seed": [0, 1], "data.split_seed": [0, 1]})}) == 4


def test_images_that_need_a_size_are_named_by_what_they_become(tmp_path):
    """A folder of mixed sizes is no data set before all are resized to one."""
    folder = tmp_path / "photographs"
    folder.mkdir()
    random = np.random.default_rng(0)
    for number in range(6):
        Image.fromarray(random.integers(0, 256, (9 + number, 12), dtype=np.uint8)).save(folder / f"{number}.png")
    with pytest.raises(DataError, match="mixed sizes"):
        Store().path(config(data=DataConfig(name=str(folder))))
    wanted = config(data=DataConfig(name=str(folder), size="4x5"))
    run = train(wanted)
    assert run.model.image_shape == (4, 5) and data_of(run).data.shape == (4, 5)
    assert Store().path(config(data=DataConfig(name=str(folder), size="5x5"))) != run.path


# Only what was asked for


def copied(there, here):
    """The run of `there` lies under the name of that of `here`, as after ``cp -r``."""
    shutil.copytree(train(there).path, Store().path(here))
    return Store().path(here)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"seed": 1}, r"seed=1 \(asked for: 0\)"),
        ({"model.latent_dim": 3}, r"model.latent_dim=3 \(asked for: 2\)"),
        ({"objective.beta": 0.5}, r"objective.beta=0.5 \(asked for: 1.0\)"),
        ({"data.split": "time"}, r"data.split='time' \(asked for: None\)"),
        ({"training.epochs": 1, "seed": 1}, r"training.epochs=1 .*, seed=1"),
    ],
    ids=["seed", "latent_dim", "beta", "split", "two"],
)
def test_a_run_under_anothers_name_is_refused_and_the_setting_named(change, said):
    path = copied(amended(config(), change), config())
    for ask in (lambda: train(config()), lambda: train_all([config()], jobs=1)):
        with pytest.raises(StoreError, match=rf"was made with {said}.*: somebody put it under this name") as error:
            ask()
        assert not isinstance(error.value, BrokenRunError)
    assert path.is_dir()  # left where it is


def test_a_setting_that_only_one_of_them_has_is_named_too():
    there = amended(config(objective={"kl": "monte-carlo"}), {"model.prior.name": "vamp"})
    copied(there, config(objective={"kl": "monte-carlo"}))
    with pytest.raises(StoreError, match=r"model.prior.name='vamp'.*model.prior.pseudo_inputs=500 \(asked for: None\)"):
        train(config(objective={"kl": "monte-carlo"}))


def test_a_run_of_other_data_under_anothers_name_is_refused(tmp_path):
    """The settings are the same: only the data that a path leads to differ."""
    for seed, name in enumerate(("mine", "yours")):
        np.save(tmp_path / f"{name}.npy", np.random.default_rng(seed).integers(0, 256, (20, 3, 5), dtype=np.uint8))
    mine, yours = (config(data=DataConfig(name=str(tmp_path / f"{name}.npy"))) for name in ("mine", "yours"))
    copied(yours, mine)
    with pytest.raises(StoreError, match="somebody put it under this name"):
        train(mine)


def test_a_run_that_was_renamed_is_still_loaded_by_its_new_name():
    run = train(config())
    run.path.rename(run.path.with_name("my-best"))
    again = Store().load("my-best")
    assert again.config == run.config and torch.equal(weights(again), weights(run))
    assert Store().load(str(again.path)).path == Store().load(again.path).path == again.path


def test_a_run_comes_back_with_the_name_that_was_asked_for(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (20, 3, 5), dtype=np.uint8)
    for name in ("first.npy", "moved.npy"):
        (tmp_path / name[0]).mkdir()
        np.save(tmp_path / name[0] / "faces.npy", images)
    first, moved = (config(data=DataConfig(name=str(tmp_path / letter / "faces.npy"))) for letter in "fm")
    run = train(first)
    again = train(moved)
    assert again.path == run.path and again.config == moved and run.config == first
    assert Store().load(run.path).config == first


def test_a_relative_path_is_known_from_elsewhere(tmp_path, monkeypatch):
    np.save(tmp_path / "faces.npy", np.random.default_rng(0).integers(0, 256, (20, 3, 5), dtype=np.uint8))
    monkeypatch.chdir(tmp_path)
    run = train(config(data=DataConfig(name="faces.npy")))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    again = Store().load(run.path)
    assert again.config.data.name == str(tmp_path / "faces.npy") and len(data_of(again).train) == 16


def test_the_data_of_a_run_are_those_that_it_learned_from(tmp_path):
    path = tmp_path / "faces.npy"
    np.save(path, np.random.default_rng(0).integers(0, 256, (20, 3, 5), dtype=np.uint8))
    run = train(config(data=DataConfig(name=str(path))))
    assert np.array_equal(data_of(run).test, prepare(run.config.data).test)
    np.save(path, np.random.default_rng(1).integers(0, 256, (20, 3, 5), dtype=np.uint8))
    with pytest.raises(
        DataError, match=rf"'{path}' is not the one that {run.path.name} was trained on: it was replaced"
    ):
        data_of(run)
    path.unlink()
    with pytest.raises(DataError, match=f"the data of {run.path.name} cannot be read again: there is no file"):
        data_of(run)


# What is refused before, and what is not stored after


def test_patience_needs_validation_images(store, monkeypatch):
    """Else it would watch the test images, keep their best epoch, and report just that."""
    data = prepare(DataConfig(name="digits"))
    empty = data.split._replace(
        train=np.sort(np.r_[data.split.train, data.split.validation]), validation=np.array([], int)
    )
    joined = np.concatenate([data.train, data.validation])
    bare = type(data)(data.data, joined, data.validation[:0], data.test, empty)
    monkeypatch.setattr(runs, "prepare", lambda config: bare)
    impatient = config(
        training=TrainingConfig(epochs=2, patience=1, device="cpu"), data={"name": "digits", "split": "time"}
    )
    with pytest.raises(
        ConfigError, match=r"training.patience=1 needs validation images.*this split of digits has none"
    ):
        train(impatient)
    assert leftovers(store) == []
    run = train(config())
    assert set(run.metrics) == {"train", "test", "epochs"}


def test_patience_on_mnists_two_parts_is_refused(real_data, store):
    with pytest.raises(ConfigError, match=r"'60000/10000'|this split of mnist has none"):
        train(config(data=DataConfig(name="mnist", split="60000/10000"), training=TrainingConfig(patience=1)))
    assert leftovers(store) == []


def test_a_run_that_diverges_in_the_last_step_of_its_last_epoch_is_not_stored(store):
    """The loss is seen before each step, and so never after the last."""
    wild = RunConfig(
        data=DataConfig(name="digits"),
        model=VAEConfig(hidden=(50,), activation="relu", latent_dim=5),
        training=TrainingConfig(optimiser="sgd", learning_rate=3, batch_size=512, epochs=1, device="cpu"),
    )
    with pytest.raises(NonFiniteLossError, match="epoch 1 of 1; the model keeps its weights of the start"):
        train(wild)
    assert leftovers(store) == []


def test_figures_that_are_no_numbers_are_not_stored(store, monkeypatch):
    monkeypatch.setattr(runs, "summary", lambda model, x: {"elbo": float("nan")})
    with pytest.raises(NonFiniteLossError, match="the finished model's elbo on train images is nan"):
        train(config())
    assert leftovers(store) == []


def test_pixels_that_a_likelihood_cannot_have_are_refused_before_training(store, monkeypatch):
    data = prepare(DataConfig(name="digits"))
    off = type(data)(data.data, data.train, data.validation, data.test * np.float32(0.999), data.split)
    monkeypatch.setattr(runs, "prepare", lambda config: off)
    monkeypatch.setattr("vaelib.training.averages", None)  # an epoch would fail otherwise
    with pytest.raises(ValueError, match=r"test data: .* needs pixels on the 256 grey levels"):
        train(config(model=VAEConfig(latent_dim=2, hidden=(8,), likelihood={"name": "discretised-logistic"})))


# What is recorded


def test_figures_of_dynamic_pixels_are_means_over_five_binarisations():
    run = train(config(data=DataConfig(name="digits", pixels="dynamic")))
    test = prepare(DataConfig(name="digits")).test
    drawn = [summary(run.model, torch.from_numpy(binarise(test, seed))) for seed in range(5)]
    expected = {name: np.mean([figures[name] for figures in drawn]) for name in drawn[0]}
    assert run.metrics["test"] == pytest.approx(expected, rel=1e-9)
    grey = summary(run.model, torch.from_numpy(test))
    assert abs(grey["elbo"] - run.metrics["test"]["elbo"]) > 0.01


def test_metrics_are_json_for_all_readers():
    def refuse(word):
        raise AssertionError(f"{word} is no JSON")

    run = train(config())
    for name in ("metrics", "config", "environment"):
        json.loads((run.path / f"{name}.json").read_text(), parse_constant=refuse)


def test_the_history_comes_back_with_the_epoch_that_was_kept():
    run = train(config(training=TrainingConfig(epochs=3, patience=2, device="cpu")))
    again = train(run.config)
    assert again.history["kept"].dtype == bool and again.history["kept"].sum() == 1
    assert again.history.equals(run.history)


@pytest.mark.parametrize("prior", [{}, {"prior": VampConfig(pseudo_inputs=9)}], ids=["normal", "vamp"])
def test_wake_sleep_is_trained_stored_and_loaded(prior):
    kl = "monte-carlo" if prior else "analytic"
    wanted = config(
        model=VAEConfig(latent_dim=2, hidden=(8,), **prior), objective=ObjectiveConfig(algorithm="wake-sleep", kl=kl)
    )
    run = train(wanted)
    assert run.history["train_elbo"].iloc[-1] > run.history["train_elbo"].iloc[0]
    assert torch.equal(weights(train(wanted)), weights(run))
    assert {"train_loss", "train_elbo", "validation_loss"} <= set(run.history)


def test_an_objective_of_another_family_is_refused():
    class Other(type(ObjectiveConfig()).__base__):
        weight: float = 1.0

    assert RunConfig(objective=Other()).objective == ObjectiveConfig()  # nothing was set: the default of the family
    with pytest.raises(ConfigError, match=r"Other\(weight=2.0\) is no objective of the family 'vae'"):
        RunConfig(objective=Other(weight=2.0))
    assert family_of(RunConfig().model) is VAE


def test_missing_data_are_said_before_any_work(store, monkeypatch):
    def missing(*_):
        raise MissingDataError("frey needs the file frey_rawface.mat")

    monkeypatch.setattr("vaelib.data.read", missing)
    data._named.cache_clear()  # another test may have read them
    with pytest.raises(MissingDataError, match="frey needs the file"):
        train(config(data=DataConfig(name="frey")))
    assert leftovers(store) == []
    assert isinstance(train(config()), Run)
