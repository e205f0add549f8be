"""The data sets as a user meets them: load, splits, pixels, colours, DataConfig and prepare."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from vaelib import data
from vaelib.config import ConfigError
from vaelib.data import FREY, MNIST
from vaelib.data.images import Plan, random_and_time, tenths


def made(count=30, height=4, width=3, **changes):
    images = np.random.default_rng(0).integers(0, 256, (count, height, width), dtype=np.uint8)
    return data.ImageData("made", images, **{"plans": random_and_time(tenths(count)), **changes})


# The real sets


def test_mnist_is_the_published_one(real_data):
    mnist_data = data.load("mnist")
    assert mnist_data.images.shape == (70_000, 28, 28)
    assert mnist_data.labels[:5].tolist() == [5, 0, 4, 1, 9]  # the first of the training file
    assert mnist_data.labels[60_000:60_005].tolist() == [7, 2, 1, 0, 4]  # the first of the test file
    assert np.bincount(mnist_data.labels[:60_000])[1] == 6742 and np.bincount(mnist_data.labels[60_000:])[1] == 1135
    assert mnist_data.matrix(range(60_000)).mean(dtype=np.float64) == pytest.approx(0.1306605, abs=1e-6)
    assert mnist_data.sha256 == MNIST.sha256
    assert mnist_data.stand_in_for is None and mnist_data.factors is None
    assert mnist_data.splits == ("50000/10000/10000", "60000/10000")
    validation_in_the_middle, all_of_the_file = (mnist_data.split(name) for name in mnist_data.splits)
    assert validation_in_the_middle.validation[[0, -1]].tolist() == [50_000, 59_999]
    assert [len(part) for part in all_of_the_file] == [60_000, 0, 10_000]


def test_frey_is_the_published_one(real_data):
    faces = data.load("frey")
    assert faces.images.shape == (1965, 28, 20) and faces.labels is None
    assert faces.sha256 == FREY.sha256
    columns = scipy.io.loadmat(next(real_data.glob("**/frey_rawface.mat")))["ff"]
    np.testing.assert_array_equal(faces.images[1000].ravel(), columns[:, 1000])
    down, across = (np.abs(np.diff(faces.images.astype(int), axis=axis)).mean() for axis in (1, 2))
    assert max(down, across) < 20  # a picture: sizes taken the wrong way round give 46 down
    frames = faces.matrix().astype(np.float64)
    neighbours, shuffled = frames[1:], frames[np.random.default_rng(0).permutation(1964)]
    steps = [np.median(((frames[:-1] - others) ** 2).sum(1)) for others in (neighbours, shuffled)]
    assert steps[0] < steps[1] / 4  # a film: rows and columns are not mixed up between frames
    assert faces.split("time").train[-1] == 1564 and faces.split("time").test[0] == 1765
    assert [len(part) for part in faces.split("random")] == [1565, 200, 200]


# The bundled ones, and load


def test_digits():
    digits = data.load("digits")
    assert digits.images.shape == (1797, 8, 8) and digits.stand_in_for == "mnist"
    assert digits.labels[:10].tolist() == list(range(10))
    assert digits.images[0, 0].tolist() == [0, 0, 80, 207, 143, 16, 0, 0]  # 0, 0, 5, 13, 9, 1, 0, 0 sixteenths of 255
    assert digits.images.max() == 255
    assert digits.sha256 == {"images": "b41ca9fd335466eee997366c2e6f6bbe0a1b4582afe091fc4eba35f4a254182f"}


def test_named_sets_are_loaded_once():
    assert data.load("digits") is data.load("digits")


@pytest.mark.parametrize(
    "name, hint",
    [("mnits", "did you mean 'mnist'"), ("Frey", "did you mean 'frey'"), ("", "name=''"), (None, "name=None")],
)
def test_an_unknown_name_is_refused_with_the_nearest(name, hint):
    with pytest.raises(ConfigError, match=hint):
        data.load(name)


@pytest.mark.parametrize("name", ["./nowhere", "faces.npy", "some/folder"])
def test_a_path_to_nothing_is_named(name):
    with pytest.raises(data.DataError, match="no file or folder"):
        data.load(name)


def test_a_folder_named_as_a_set_is_its_own_thing(tmp_path, monkeypatch):
    (tmp_path / "digits").mkdir()
    for number in range(3):
        Image.fromarray(np.full((4, 4), 50 * number, np.uint8)).save(tmp_path / "digits" / f"{number}.png")
    monkeypatch.chdir(tmp_path)
    with pytest.warns(UserWarning, match=r"'digits' is the data set of that name; .* write './digits'"):
        assert data.load("digits").images.shape == (1797, 8, 8)
    for mine in ("./digits", Path("digits"), tmp_path / "digits"):
        loaded = data.load(mine)
        assert loaded.images.shape == (3, 4, 4) and loaded.name == "own-digits"


@pytest.mark.parametrize("colour, shape", [("auto", (4, 4)), ("grey", (4, 4)), ("rgb", (4, 4, 3))])
def test_named_sets_come_in_other_sizes_and_colours(colour, shape):
    small = data.load("digits", size="4x4", colour=colour)
    assert small.shape == shape and len(small) == 1797 and small.sha256 != data.load("digits").sha256
    assert abs(small.images.mean() - data.load("digits").images.mean()) < 5
    assert small is data.load("digits", "4x4", colour) and small.labels is not None
    assert data.load("digits", colour="grey") is data.load("digits")
    config = data.DataConfig(name="digits", size="4x4", colour=colour)
    assert data.prepare(config).train.shape == (1437, int(np.prod(shape)))


def test_identity_is_the_name_and_the_hashes_and_reads_no_published_file(monkeypatch):
    for source in (MNIST, FREY):
        monkeypatch.delenv("VAELIB_DATA", raising=False)  # neither is there a file in the cache
        assert data.identity(source.dataset, "14x14") == (source.dataset, source.sha256)
    for size in (None, "4x4"):
        digits = data.load("digits", size)
        assert data.identity("digits", size) == ("digits", digits.sha256)


def test_importing_data_needs_no_torch_and_loads_nothing_heavy():
    heavy = "{'torch', 'sklearn', 'scipy', 'matplotlib', 'pandas', 'pooch'}"
    code = f"import sys, vaelib.data; print({heavy} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "set()"


# ImageData


def test_images_labels_and_factors_cannot_be_written_to():
    images = np.zeros((5, 2, 2), np.uint8)
    made_data = data.ImageData(
        "made", images, random_and_time(tenths(5)), labels=np.arange(5), factors={"pose": np.zeros(5)}
    )
    for array in (made_data.images, made_data.labels, made_data.factors["pose"]):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
    images[0] = 1  # the caller's own array stays writable


def test_images_are_contiguous_and_matrix_rows_are_their_pixels():
    fortran = np.asfortranarray(np.arange(24, dtype=np.uint8).reshape(4, 3, 2) * 10)
    made_data = data.ImageData("made", fortran, random_and_time(tenths(4)))
    assert made_data.images.flags.c_contiguous and made_data.shape == (3, 2) and len(made_data) == 4
    matrix = made_data.matrix([2, 0])
    assert matrix.dtype == np.float32 and matrix.shape == (2, 6)
    np.testing.assert_array_equal(matrix[1], (fortran[0].ravel() / 255).astype(np.float32))
    assert made_data.matrix([]).shape == (0, 6) and made_data.matrix(1).shape == (1, 6)
    np.testing.assert_array_equal(made_data.matrix(np.array([True, False, True, False])), matrix[::-1])
    with pytest.raises(IndexError):
        made_data.matrix([0.5])


def test_colour_images_are_rows_of_pixels_with_three_values_each():
    pixels = np.random.default_rng(0).integers(0, 256, (5, 4, 2, 3), dtype=np.uint8)
    coloured = data.ImageData("made", pixels, random_and_time(tenths(5)), classes=("cat", "dog"))
    assert coloured.shape == (4, 2, 3) and coloured.matrix().shape == (5, 24)
    np.testing.assert_array_equal(coloured.matrix([3]), pixels[3].reshape(1, 24) / np.float32(255))
    assert repr(coloured) == "<ImageData made: 5 images of 4x2 in colour, no labels>"
    assert repr(made()) == "<ImageData made: 30 images of 4x3, no labels>"


def test_matrix_spans_zero_to_one():
    levels = np.arange(256, dtype=np.uint8).reshape(256, 1, 1)
    matrix = data.ImageData("levels", levels, random_and_time(tenths(256))).matrix()
    assert matrix.min() == 0 and matrix.max() == 1
    np.testing.assert_array_equal(np.rint(matrix * 255).astype(np.uint8), levels[:, 0])


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"images": np.zeros((3, 2, 2))}, "float64 of shape .* expected uint8"),
        ({"images": np.zeros((3, 4), np.uint8)}, r"shape \(3, 4\), expected uint8 of shape \(N, H, W\) or"),
        ({"images": np.zeros((30, 2, 2, 4), np.uint8)}, r"shape \(30, 2, 2, 4\)"),
        ({"images": np.zeros((30, 2, 2, 3, 1), np.uint8)}, r"shape \(30, 2, 2, 3, 1\)"),
        ({"images": np.zeros((0, 2, 2), np.uint8)}, r"shape \(0, 2, 2\)"),
        ({"labels": np.arange(7)}, r"labels of made: got shape \(7,\), expected \(30,\)"),
        ({"plans": {"odd": Plan((1, 1, 1), False)}}, "split 'odd' of made: 3 indices for 30 images"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(changes, message):
    with pytest.raises(data.DataError, match=message) as caught:
        replace(made(), **changes)
    assert "\n" not in str(caught.value)


# Splits


@given(count=st.integers(3, 400), seed=st.integers(0, 2**32), name=st.sampled_from(["random", "time"]))
def test_splits_are_sorted_disjoint_and_exhaustive(count, seed, name):
    parts = made(count, 1, 1).split(name, seed)
    assert all(part.dtype == np.int64 and (np.diff(part) > 0).all() and len(part) for part in parts)
    assert np.sort(np.concatenate(parts)).tolist() == list(range(count))
    assert len(parts.validation) == len(parts.test) == max(1, round(count / 10))


def test_time_split_keeps_the_order_and_random_depends_on_the_seed():
    made_data = made(100)
    time = made_data.split("time")
    assert (time.train[-1], time.validation[0], time.validation[-1], time.test[0]) == (79, 80, 89, 90)
    assert time.test.tolist() == made_data.split("time", seed=5).test.tolist()
    assert made_data.split().test.tolist() == made_data.split("random", seed=0).test.tolist()
    assert made_data.split(seed=1).test.tolist() != made_data.split(seed=0).test.tolist()


def test_an_unknown_split_is_refused_with_the_nearest():
    with pytest.raises(ConfigError, match="unknown split of made 'tmie': did you mean 'time'"):
        made().split("tmie")


# Binarisation


def test_binarise_draws_each_pixel_with_its_grey_value():
    grey = np.repeat(np.float32([[0, 0.1, 0.5, 0.9, 1]]), 20_000, axis=0)
    binary = data.binarise(grey, seed=3)
    assert binary.dtype == np.float32 and set(np.unique(binary)) == {0.0, 1.0}
    assert binary[:, 0].max() == 0 and binary[:, -1].min() == 1
    np.testing.assert_allclose(binary.mean(0), grey[0], atol=4 * 0.5 / np.sqrt(20_000))
    np.testing.assert_array_equal(binary, data.binarise(grey, seed=3))
    assert (binary != data.binarise(grey, seed=4)).any()
    assert grey[0, 1] == np.float32(0.1)  # the input is left alone


@pytest.mark.parametrize("bad", [-0.1, 1.5, 255, np.nan])
def test_binarise_refuses_what_is_no_probability(bad):
    with pytest.raises(data.DataError, match=r"needs values in \[0, 1\]"):
        data.binarise(np.array([0.5, bad]), seed=0)


def test_binarise_forgives_rounding_and_shows_what_it_does_not():
    most = np.float32(1) + np.finfo(np.float32).eps
    assert data.binarise(np.array([most, -1e-9], np.float32), seed=0).tolist() == [1, 0]
    with pytest.raises(data.DataError, match=r"got 0.0 to 1.00001: "):
        data.binarise(np.array([0, 1.00001]), seed=0)


# DataConfig and prepare


def test_config_refuses_unknown_settings_and_values():
    with pytest.raises(ConfigError, match="unknown setting of DataConfig 'splits': did you mean 'split'"):
        data.DataConfig(splits="time")
    with pytest.raises(ConfigError, match="'gray': did you mean 'grey'"):
        data.DataConfig(pixels="gray")
    with pytest.raises(ConfigError, match="split_seed=-1"):
        data.DataConfig(split_seed=-1)
    with pytest.raises(ConfigError, match="name"):
        data.DataConfig(name="")
    with pytest.raises(ConfigError, match="'gray': did you mean 'grey'"):
        data.DataConfig(colour="gray")


@pytest.mark.parametrize("size", ["64", "0x64", "64x", "64x64x3", "99999x9", 64, (64, 64), True])
def test_a_size_is_a_height_and_a_width(size):
    for use in (lambda: data.DataConfig(size=size), lambda: data.load("digits", size=size)):
        with pytest.raises(ConfigError, match="expected height x width, such as '64x64'") as caught:
            use()
        assert f"size={size!r}" in str(caught.value)


def test_prepare_gives_the_rows_of_the_split():
    prepared = data.prepare(data.DataConfig(name="digits", split="random", split_seed=7))
    split = prepared.data.split("random", seed=7)
    assert [part.shape for part in (prepared.train, prepared.validation, prepared.test)] == [
        (1437, 64),
        (180, 64),
        (180, 64),
    ]
    np.testing.assert_array_equal(prepared.test, prepared.data.matrix(split.test))
    np.testing.assert_array_equal(prepared.split.test, split.test)
    assert prepared.train.dtype == np.float32


def test_static_pixels_are_binary_and_belong_to_the_image_not_the_part():
    random, time = (
        data.prepare(data.DataConfig(name="digits", split=split, pixels="static")) for split in ("random", "time")
    )
    assert set(np.unique(random.train)) == {0.0, 1.0}
    whole = np.empty((1797, 64), np.float32)
    for part, rows in zip(random.split, (random.train, random.validation, random.test), strict=True):
        whole[part] = rows
    np.testing.assert_array_equal(whole[time.split.test], time.test)
    dynamic = data.prepare(data.DataConfig(name="digits", pixels="dynamic"))
    grey = data.prepare(data.DataConfig(name="digits"))
    np.testing.assert_array_equal(dynamic.train, grey.train)  # binarised later, batch by batch


def test_prepare_refuses_unknown_names():
    with pytest.raises(ConfigError, match="unknown split of digits '60000/10000'"):
        data.prepare(data.DataConfig(name="digits", split="60000/10000"))
    with pytest.raises(ConfigError, match="did you mean 'toyfaces'"):
        data.prepare(data.DataConfig(name="toyface"))
