"""The user's own images: folders, classes, stacks and arrays, grey and in colour; good, bad and hostile."""

import gzip
import os
import time
import tracemalloc
import warnings
import zipfile

import numpy as np
import pandas as pd
import pytest
import scipy.io
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from vaelib import data
from vaelib.data import images as arrays
from vaelib.data import own

GREY = np.random.default_rng(0).integers(0, 256, (12, 5, 6), dtype=np.uint8)
COLOUR = np.random.default_rng(1).integers(0, 256, (12, 5, 6, 3), dtype=np.uint8)
RED = np.zeros((2, 2, 3), np.uint8) + np.uint8([255, 0, 0])
CHEQUERED = np.array([[0, 255], [255, 0]], np.uint8)


def save_all(folder, images=GREY, pattern="{}.png", **options):
    folder.mkdir(exist_ok=True, parents=True)
    for number, image in enumerate(images):
        Image.fromarray(image).save(folder / pattern.format(number), **options)
    return folder


def quietly(path, **settings):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return data.load(path, **settings)


def refuse(path, message, **settings):
    with pytest.raises(data.DataError, match=message) as caught:
        data.load(path, **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# Folders


def test_a_folder_in_the_natural_order_of_its_names(tmp_path):
    loaded = quietly(str(save_all(tmp_path / "faces")))
    np.testing.assert_array_equal(loaded.images, GREY)  # 10.png after 9.png
    assert loaded.name == "faces" and loaded.labels is None and loaded.stand_in_for is None and loaded.classes == ()
    assert loaded.splits == ("random", "time") and len(loaded.split().test) == 1
    assert len(loaded.sha256["images"]) == 64
    again = data.prepare(data.DataConfig(name=str(tmp_path / "faces"), split="time"))
    np.testing.assert_array_equal(again.test, GREY[-1:].reshape(1, 30) / np.float32(255))
    assert data.identity(tmp_path / "faces") == ("faces", loaded.sha256)


@pytest.mark.parametrize("suffix", [".bmp", ".tif", ".PNG", ".webp", ".pgm"])
def test_any_format_that_pillow_reads(tmp_path, suffix):
    options = {"lossless": True} if suffix == ".webp" else {}
    np.testing.assert_array_equal(quietly(save_all(tmp_path, pattern="{}" + suffix, **options)).images, GREY)


@pytest.fixture
def kinds_of_pixels(tmp_path):
    half_red = np.concatenate([RED, np.full((2, 2, 1), 128, np.uint8)], axis=2)
    Image.fromarray(CHEQUERED).convert("1").save(tmp_path / "1-bit.png")
    Image.fromarray(RED).save(tmp_path / "2-red.png")
    Image.fromarray(half_red).save(tmp_path / "3-half-red.png")
    Image.fromarray(RED).convert("P").save(tmp_path / "4-palette.gif")
    Image.fromarray(CHEQUERED.astype(np.uint16) * 257).save(tmp_path / "5-sixteen.png")
    Image.fromarray(RED).convert("CMYK").save(tmp_path / "6-cmyk.tif")
    return tmp_path


def test_every_kind_of_pixel_becomes_grey_if_asked_for(kinds_of_pixels):
    images = quietly(kinds_of_pixels, colour="grey").images
    np.testing.assert_array_equal(images[[0, 4]], [CHEQUERED] * 2)
    assert set(np.unique(images[[1, 3, 5]])) == {76}  # 0.299 * 255
    assert set(np.unique(images[2])) == {165}  # half way to white


@pytest.mark.parametrize("colour", ["auto", "rgb"])
def test_images_in_colour_stay_so_and_grey_ones_among_them_join(kinds_of_pixels, colour):
    loaded = quietly(kinds_of_pixels, colour=colour)
    assert loaded.shape == (2, 2, 3)
    np.testing.assert_array_equal(loaded.images[[0, 4]], np.repeat([CHEQUERED[..., None]] * 2, 3, axis=-1))
    assert (loaded.images[[1, 3, 5]] == [255, 0, 0]).all()
    assert (loaded.images[2] == [255, 127, 127]).all()


def test_a_photograph_is_turned_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # held on its side
    save_all(tmp_path, GREY[:3], exif=exif)
    np.testing.assert_array_equal(quietly(tmp_path).images, np.rot90(GREY[:3], -1, axes=(1, 2)))
    Image.fromarray(np.rot90(GREY[3], -1)).save(tmp_path / "upright.png")  # of the others' size when they are upright
    assert len(quietly(tmp_path)) == 4


def test_hidden_files_are_skipped_and_others_are_reported(tmp_path):
    save_all(tmp_path / "faces")
    (tmp_path / "faces" / ".DS_Store").write_bytes(b"x")
    (tmp_path / "faces" / "notes.txt").write_text("x")
    (tmp_path / "faces" / "paper.pdf").write_text("x")
    (tmp_path / "faces" / "more").mkdir()
    with pytest.warns(UserWarning, match=r"left out more, notes.txt, paper.pdf, which are not image files"):
        assert len(data.load(tmp_path / "faces")) == 12


def test_bad_folders_say_what_they_hold(tmp_path):
    refuse(tmp_path, "holds no image files, nor do its sub-folders, but nothing")
    for name in ("a.heic", "b.HEIC", "train-images-idx3-ubyte"):
        (tmp_path / name).write_text("x")
    (tmp_path / "sub" / "deeper").mkdir(parents=True)
    refuse(tmp_path, r"but 2 .heic, 2 folder\(s\), 1 without a suffix: convert .* load a data file .* by its own path")
    (tmp_path / "notes.txt").write_text("Dear diary")
    refuse(tmp_path / "notes.txt", r"notes.txt is not an IDX file .*: expected a folder of images or .*\.npy")
    save_all(tmp_path / "two", GREY[:2])
    refuse(tmp_path / "two", r"holds 2 image\(s\): .* at least 3")


def test_mixed_sizes_name_two_files_and_their_sizes(tmp_path):
    save_all(tmp_path)
    Image.fromarray(GREY[0][:3]).save(tmp_path / "7.png")
    message = refuse(tmp_path, "mixed sizes")
    assert "0.png is 5x6 and 7.png is 3x6 (height x width)" in message and "size='64x64'" in message


def test_mixed_sizes_are_told_by_the_headers(tmp_path, monkeypatch):
    for suffix in ("png", "jpg", "tif", "bmp", "webp"):
        save_all(tmp_path / suffix, GREY[:4], "{}." + suffix)
        Image.fromarray(GREY[0][:3]).save(tmp_path / suffix / f"4.{suffix}")
        monkeypatch.setattr(own, "_frames", lambda file: pytest.fail(f"decoded {file}"))
        refuse(tmp_path / suffix, "mixed sizes")


@pytest.mark.parametrize("content", [b"", b"no image at all", "truncated"], ids=["empty", "text", "truncated"])
def test_an_unreadable_image_is_named(tmp_path, content):
    save_all(tmp_path)
    whole = (tmp_path / "3.png").read_bytes()
    (tmp_path / "3.png").write_bytes(whole[: len(whole) // 2] if content == "truncated" else content)
    refuse(tmp_path, r"3\.png cannot be read as an image")


def test_pixels_of_unknown_range_are_refused(tmp_path):
    save_all(tmp_path)
    Image.fromarray(GREY[0].astype(np.float32)).save(tmp_path / "4.tif")
    refuse(tmp_path, r"4\.tif has 32-bit pixels")
    Image.fromarray(GREY[0].astype(np.int32)).save(tmp_path / "4.tif")
    refuse(tmp_path, r"4\.tif has 32-bit pixels")


# Classes


def test_sub_folders_are_classes(tmp_path):
    save_all(tmp_path / "pets" / "cat 10", COLOUR[:5])
    save_all(tmp_path / "pets" / "cat 9", COLOUR[5:8])
    save_all(tmp_path / "pets" / "dog", GREY[8:9])
    (tmp_path / "pets" / "empty").mkdir()
    (tmp_path / "pets" / "dog" / "notes.txt").write_text("x")
    with pytest.warns(UserWarning, match="left out empty, dog/notes.txt, which"):
        pets = data.load(tmp_path / "pets")
    assert pets.classes == ("cat 9", "cat 10", "dog")
    assert pets.labels.tolist() == [0] * 3 + [1] * 5 + [2] and set(pets.sha256) == {"images", "labels"}
    np.testing.assert_array_equal(pets.images[:3], COLOUR[5:8])
    np.testing.assert_array_equal(pets.images[8], np.repeat(GREY[8][..., None], 3, axis=-1))
    assert pets.splits == ("random",)  # in the order of the files, the last class alone would be tested


# Frames and pages


@pytest.mark.parametrize("suffix", [".tif", ".png", ".webp", ".gif"])
def test_every_frame_is_an_image(tmp_path, suffix):
    options = {"lossless": True} if suffix == ".webp" else {}
    first, *rest = (Image.fromarray(image) for image in GREY[:4])
    first.save(tmp_path / f"1{suffix}", save_all=True, append_images=rest, **options)
    np.testing.assert_array_equal(quietly(tmp_path / f"1{suffix}").images, GREY[:4])
    Image.fromarray(GREY[4]).save(tmp_path / f"2{suffix}", **options)
    np.testing.assert_array_equal(quietly(tmp_path).images, GREY[:5])
    assert quietly(tmp_path, size="2x2", colour="rgb").images.shape == (5, 2, 2, 3)


def test_classes_of_films_and_pages_of_two_sizes(tmp_path):
    pages = [Image.fromarray(image) for image in GREY[:4]]
    for name, pictures in (("a", pages[:3]), ("b", pages[3:])):
        (tmp_path / name).mkdir()
        pictures[0].save(tmp_path / name / "film.tif", save_all=True, append_images=pictures[1:])
    assert quietly(tmp_path).labels.tolist() == [0, 0, 0, 1]
    pages[0].save(tmp_path / "mixed.tif", save_all=True, append_images=[*pages[1:], Image.fromarray(GREY[4][:2])])
    refuse(tmp_path / "mixed.tif", r"mixed.tif is 5x6 and mixed.tif is 2x6")
    assert quietly(tmp_path / "mixed.tif", size="4x4").images.shape == (5, 4, 4)


def test_the_preview_in_a_phone_photograph_is_no_image(tmp_path):
    for number in range(3):
        photo, preview = (Image.fromarray(COLOUR[number][:side]) for side in (5, 2))
        photo.save(tmp_path / f"{number}.jpg", "MPO", save_all=True, append_images=[preview])
    assert quietly(tmp_path).images.shape == (3, 5, 6, 3)


# More than eight bits


@pytest.mark.parametrize("bits", [10, 12, 14])
@pytest.mark.parametrize("suffix", [".png", ".tif", ".npy"])
def test_sixteen_bits_that_are_not_all_in_use_are_read_as_fewer_with_a_word(tmp_path, bits, suffix):
    levels = np.random.default_rng(0).integers(0, 2**bits, (4, 8, 8)).astype(np.uint16)
    levels[0, 0, 0] = 2**bits - 1
    path = tmp_path / "wide.npy"
    np.save(path, levels)
    if suffix != ".npy":
        path = save_all(tmp_path / "wide", levels, "{}" + suffix)
    with pytest.warns(
        UserWarning, match=rf"no more than {2**bits - 1} are read as {bits}-bit ones, {2**bits - 1} being"
    ):
        images = data.load(path).images
    np.testing.assert_array_equal(images, np.rint(levels / ((2**bits - 1) / 255)))


def test_all_sixteen_bits_need_no_word(tmp_path):
    levels = np.random.default_rng(0).integers(0, 65536, (4, 8, 8)).astype(np.uint16)
    np.save(tmp_path / "wide.npy", levels)
    for path in (save_all(tmp_path / "wide", levels), tmp_path / "wide.npy"):
        np.testing.assert_array_equal(quietly(path).images, np.rint(levels / 257))
    assert quietly(tmp_path / "wide", size="4x4", colour="rgb").images.shape == (4, 4, 4, 3)


def test_sixteen_bits_take_the_way_of_eight(tmp_path):
    """Transparency, portable grey maps of any maximum, white stored as zero, orientation."""
    levels = np.array([[0, 20_000, 65_535], [40_000, 50_000, 60_000]], np.uint16)
    save_all(tmp_path / "clear", [levels] * 3, transparency=20_000)
    seen = np.rint(np.where(levels == 20_000, 65_535, levels) / 257)
    np.testing.assert_array_equal(quietly(tmp_path / "clear").images, [seen] * 3)
    (tmp_path / "maps").mkdir()
    for number, most in enumerate((65_535, 1023, 4095)):
        values = np.rint(levels / 65_535 * most).astype(">u2")
        (tmp_path / "maps" / f"{number}.pgm").write_bytes(f"P5 3 2 {most}\n".encode() + values.tobytes())
    assert np.abs(quietly(tmp_path / "maps").images - np.rint(levels / 257)).max() <= 1
    exif = Image.Exif()
    exif[0x0112] = 6
    save_all(tmp_path / "turned", [levels] * 3, exif=exif)
    np.testing.assert_array_equal(quietly(tmp_path / "turned").images[0], np.rot90(np.rint(levels / 257), -1))
    save_all(tmp_path / "negative", [levels] * 3, "{}.tif")
    for file in (tmp_path / "negative").iterdir():  # tag 262, a short, once: 1, black is 0, becomes 0, white is 0
        black_is_zero, white_is_zero = (bytes([6, 1, 3, 0, 1, 0, 0, 0, zero, 0]) for zero in (1, 0))
        assert black_is_zero in file.read_bytes()
        file.write_bytes(file.read_bytes().replace(black_is_zero, white_is_zero))
    np.testing.assert_array_equal(quietly(tmp_path / "negative").images[0], 255 - np.rint(levels / 257))


# Sizes


def test_a_size_covers_and_crops_about_the_centre(tmp_path):
    wide = np.zeros((4, 8), np.uint8)
    wide[:, 2:6] = np.arange(4) * 80
    save_all(tmp_path / "pics", [wide, wide.T, np.full((40, 40), 7, np.uint8)])
    refuse(tmp_path / "pics", "mixed sizes")
    images = quietly(tmp_path / "pics", size="4x4").images
    np.testing.assert_array_equal(images[0], wide[:, 2:6])
    np.testing.assert_array_equal(images[1], wide.T[2:6])
    assert (images[2] == 7).all()
    assert quietly(tmp_path / "pics", size="3x9").shape == (3, 9)
    np.save(tmp_path / "pics.npy", COLOUR)
    assert quietly(tmp_path / "pics.npy", size="3x9").shape == (3, 9, 3)
    prepared = data.prepare(data.DataConfig(name=str(tmp_path / "pics.npy"), size="3x9", colour="grey"))
    assert prepared.data.shape == (3, 9) and prepared.test.shape == (1, 27)
    size = (str(tmp_path / "pics.npy"), "3x9", "grey")
    assert data.identity(*size) == ("pics", prepared.data.sha256) != data.identity(*size[:2])


# Arrays


@given(
    hnp.arrays(np.uint8, st.tuples(st.integers(3, 6), st.integers(1, 7), st.sampled_from([1, 2, 5, 6]))),
    st.sampled_from(["uint8", "float32", "float64", "float16"]),
    st.booleans(),
)
def test_arrays_round_trip(tmp_path_factory, images, dtype, channel_axis):
    images[0, 0, 0] = 255
    path = tmp_path_factory.mktemp("arrays") / "mine.npy"
    stored = images if dtype == "uint8" else (images / 255).astype(dtype)
    np.save(path, stored[..., None] if channel_axis else stored)
    loaded = quietly(path)
    np.testing.assert_array_equal(loaded.images, images)
    assert loaded.name == "mine"


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "int64", "uint16", "uint32", "uint64", "float32", ">i4"])
def test_whole_numbers_of_any_type_lose_nothing(tmp_path, dtype):
    images = GREY // 2 if dtype == "int8" else GREY
    np.save(tmp_path / "whole.npy", images.astype(dtype))
    np.testing.assert_array_equal(quietly(tmp_path / "whole.npy").images, images)


def test_booleans_are_black_and_white(tmp_path):
    np.save(tmp_path / "bits.npy", GREY > 127)
    np.testing.assert_array_equal(quietly(tmp_path / "bits.npy").images, np.where(GREY > 127, 255, 0))


@pytest.mark.parametrize("dtype", ["uint8", "int64"])
def test_pixels_of_0_and_1_are_not_taken_for_black(tmp_path, dtype):
    bits = (GREY > 127).astype(dtype)
    np.save(tmp_path / "bits.npy", bits)
    for path in (tmp_path / "bits.npy", save_all(tmp_path / "masks", bits.astype(np.uint8))):
        with pytest.warns(UserWarning, match=r"1 of 255, so they are read as black and white: spread"):
            np.testing.assert_array_equal(data.load(path).images, bits * 255)


@pytest.mark.parametrize("scale", [1, 1 / 255])
def test_nearly_black_images_are_remarked_upon(tmp_path, scale):
    np.save(tmp_path / "dark.npy", GREY // 16 * scale)  # 16 levels, as scikit-learn's digits have 17
    with pytest.warns(UserWarning, match="the brightest pixel of all is 15 of 255, so they are nearly black"):
        np.testing.assert_array_equal(data.load(tmp_path / "dark.npy").images, GREY // 16)


def test_rounding_of_float32_is_forgiven_and_a_refusal_shows_the_digits(tmp_path):
    images = (GREY / 255).astype(np.float32)
    images[0, 0, :2] = np.nextafter(np.float32(1), np.float32(2)), -1e-9
    np.save(tmp_path / "a.npy", images)
    assert quietly(tmp_path / "a.npy").images[0, 0, :2].tolist() == [255, 0]
    images[0, 0, 0] = 1.00001
    np.save(tmp_path / "a.npy", images)
    refuse(tmp_path / "a.npy", r"in -1e-09 to 1.00001, expected floats in \[0, 1\]")


@pytest.mark.parametrize("channels", [3, 4])
def test_channels_come_first_or_last(tmp_path, channels):
    opaque = np.concatenate([COLOUR, np.full_like(COLOUR[..., :1], 255)], axis=-1)[..., :channels]
    for name, array in (("last", opaque), ("first", np.moveaxis(opaque, -1, 1))):
        np.save(tmp_path / f"{name}.npy", array)
        np.testing.assert_array_equal(quietly(tmp_path / f"{name}.npy").images, COLOUR)
    np.save(tmp_path / "one.npy", GREY[:, None])
    np.testing.assert_array_equal(quietly(tmp_path / "one.npy").images, GREY)


@pytest.mark.parametrize("shape", [(64, 48, 3), (64, 48, 4), (9, 3, 5, 4), (5, 4, 4, 4)], ids=str)
def test_what_might_be_two_things_is_neither(tmp_path, shape):
    np.save(tmp_path / "photo.npy", np.full(shape, 200, np.uint8))
    message = refuse(
        tmp_path / "photo.npy", r"expected shape \(N, H, W\), or \(N, H, W, C\) or \(N, C, H, W\) with 1, 3"
    )
    assert ("is it one image?" in message) == (len(shape) == 3)
    if len(shape) == 3:  # the remedy that the message names
        np.save(tmp_path / "photo.npy", np.full((*shape, 1), 200, np.uint8))
        assert quietly(tmp_path / "photo.npy").images.shape == shape


def test_npz_with_labels_and_one_array_of_any_name(tmp_path):
    np.savez(tmp_path / "both.npz", images=GREY, labels=np.arange(12, dtype=np.uint8), other=np.zeros(3))
    both = quietly(tmp_path / "both.npz")
    assert both.labels.dtype == np.int64 and both.labels.tolist() == list(range(12))
    assert set(both.sha256) == {"images", "labels"}
    np.savez_compressed(tmp_path / "one.NPZ.npz", whatever=GREY)
    (tmp_path / "one.NPZ.npz").rename(tmp_path / "one.NPZ")
    np.testing.assert_array_equal(quietly(tmp_path / "one.NPZ").images, GREY)
    assert quietly(tmp_path / "one.NPZ").labels is None


@pytest.mark.parametrize("shape", [(12,), (12, 1)], ids=str)
@pytest.mark.parametrize("dtype", ["uint8", "int64", "bool", "float32"])
def test_labels_of_any_kind_that_lose_nothing(tmp_path, shape, dtype):
    np.savez(tmp_path / "a.npz", images=GREY, labels=np.arange(12).reshape(shape).astype(dtype))
    assert quietly(tmp_path / "a.npz").labels.tolist() == np.arange(12).astype(dtype).tolist()


@given(hnp.arrays(np.uint8, (3, 2, 3, 4)))
def test_colour_arrays_become_grey_as_pillow_does_it(tmp_path_factory, pixels):
    path = tmp_path_factory.mktemp("arrays") / "a.npy"
    pixels[0, 0, 0] = 255
    for channels in (3, 4):
        image = Image.fromarray(pixels[1, ..., :channels])
        if channels == 4:
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
        np.save(path, pixels[..., :channels][:, [0, 1, 0, 1, 1]])  # five rows, so that channels are last
        grey = data.load(path, colour="grey").images[1]
        np.testing.assert_array_equal(grey, np.asarray(image.convert("L"))[[0, 1, 0, 1, 1]])


def test_grey_stored_as_colour_stays_what_it_was(tmp_path):
    np.save(tmp_path / "grey.npy", np.repeat(GREY[..., None], 3, axis=-1))
    for colour in ("auto", "grey"):
        np.testing.assert_array_equal(quietly(tmp_path / "grey.npy", colour=colour).images, GREY)
    assert quietly(tmp_path / "grey.npy", colour="rgb").shape == (5, 6, 3)


NUMBERS = r"expected floats in \[0, 1\], or whole numbers in 0 to 255 \(or to 65535\): rescale"
BAD = {
    "one image": (np.zeros((3, 4), np.uint8), r"uint8 of shape \(3, 4\), expected shape \(N, H, W\)"),
    "two channels": (np.zeros((3, 5, 5, 2), np.uint8), "with 1, 3 or 4 channels"),
    "none": (np.zeros((0, 5, 5), np.uint8), "which is empty"),
    "no rows": (np.zeros((3, 0, 5), np.uint8), "which is empty"),
    "negative": (np.full((3, 5, 5), -1), r"int64 of shape .* in -1 to -1, " + NUMBERS),
    "large": (np.full((3, 5, 5), 65536), r"in 65536 to 65536, " + NUMBERS),
    "not a number": (np.full((3, 5, 5), np.nan), "not finite numbers"),
    "infinite": (np.full((3, 5, 5), np.inf), "not finite numbers"),
    "above": (np.full((3, 5, 5), 1.5), "in 1.5 to 1.5, " + NUMBERS),
    "below": (np.full((3, 5, 5), -0.5), "in -0.5 to -0.5, " + NUMBERS),
    "complex": (np.zeros((3, 5, 5), np.complex64), "complex64"),
    "text": (np.full((3, 5, 5), "x"), "<U1"),
    "two images": (np.full((2, 5, 5), 200, np.uint8), "at least 3"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_arrays(tmp_path, kind):
    array, message = BAD[kind]
    np.save(tmp_path / "bad.npy", array)
    assert "bad.npy" in refuse(tmp_path / "bad.npy", message)


def test_objects_are_never_unpickled(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    np.save(tmp_path / "trap.npy", np.array([Trap()], dtype=object), allow_pickle=True)
    refuse(tmp_path / "trap.npy", "never unpickled")
    np.savez(tmp_path / "trap.npz", images=np.array([Trap()], dtype=object))
    refuse(tmp_path / "trap.npz", "never unpickled")
    assert not (tmp_path / "sprung").exists()


def test_bad_npz_files(tmp_path):
    np.savez(tmp_path / "two.npz", a=GREY, b=GREY)
    refuse(tmp_path / "two.npz", "must hold one array, or one called 'images', beside 'labels'; it holds: a, b")
    np.savez(tmp_path / "labels.npz", labels=np.arange(3))
    refuse(tmp_path / "labels.npz", "it holds: none")
    np.savez(tmp_path / "short.npz", images=GREY, labels=np.arange(3))
    refuse(
        tmp_path / "short.npz", r"labels in .*short.npz: got int64 of shape \(3,\), expected integers of shape \(12,\)"
    )
    np.savez(tmp_path / "float.npz", images=GREY, labels=np.full(12, 0.5))
    refuse(tmp_path / "float.npz", "float64 of shape .*expected integers")
    np.savez(tmp_path / "nan.npz", images=GREY, labels=np.full(12, np.nan))
    refuse(tmp_path / "nan.npz", "float64 of shape .*expected integers")


@given(
    st.sampled_from(["npy", "npz", "idx", "csv", "amat", "mat"]),
    st.binary(max_size=200)
    | st.binary(max_size=100).map(lambda rest: b"\x93NUMPY\x01\x00" + rest)
    | st.binary(max_size=100).map(lambda rest: b"PK\x03\x04" + rest)
    | st.binary(max_size=100).map(lambda rest: b"\x1f\x8b\x08" + rest),
)
def test_whatever_is_in_the_file_the_error_is_ours(tmp_path_factory, suffix, content):
    path = tmp_path_factory.mktemp("junk") / f"junk.{suffix}"
    path.write_bytes(content)
    with pytest.raises(data.DataError, match=rf"junk\.{suffix}"):
        data.load(path)


def test_truncated_arrays_are_named(tmp_path):
    np.save(tmp_path / "a.npy", GREY)
    np.savez_compressed(tmp_path / "a.npz", images=GREY)
    for name in ("a.npy", "a.npz"):
        whole = (tmp_path / name).read_bytes()
        for kept in (1, 20, 90, len(whole) - 30):
            (tmp_path / name).write_bytes(whole[:kept])
            refuse(tmp_path / name, f"{name} cannot be read: ")


# IDX files


def idx(array):
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">u4").tobytes() + array.tobytes()


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_idx_files_with_the_labels_beside_them(tmp_path, suffix):
    pack = gzip.compress if suffix else bytes
    (tmp_path / f"train-images-idx3-ubyte{suffix}").write_bytes(pack(idx(GREY)))
    path = tmp_path / f"train-images-idx3-ubyte{suffix}"
    assert quietly(path).labels is None and quietly(path).name == "train-images-idx3-ubyte"
    (tmp_path / f"train-labels-idx1-ubyte{suffix}").write_bytes(pack(idx(np.arange(12, dtype=np.uint8))))
    loaded = quietly(path)
    np.testing.assert_array_equal(loaded.images, GREY)
    assert loaded.labels.tolist() == list(range(12))
    refuse(tmp_path / f"train-labels-idx1-ubyte{suffix}", r"uint8 of shape \(12,\), expected shape \(N, H, W\)")
    (tmp_path / "some.file").write_bytes(pack(idx(COLOUR)))
    np.testing.assert_array_equal(quietly(tmp_path / "some.file").images, COLOUR)


# Tables of pixels

FLAT = GREY[:, :5, :5].reshape(12, 25)
DIGITS = np.arange(12) % 5
SQUARES = r"read as 12 images of 5x5, each a "


def write_table(path, *columns, header=None, separator=","):
    rows = [separator.join(map(str, row)) for row in np.column_stack(columns)]
    path.write_text("\n".join([separator.join(header or []), *rows]).lstrip() + "\n")
    return path


def read_with_a_word(path, message):
    with pytest.warns(UserWarning, match=message):
        loaded = data.load(path)
    np.testing.assert_array_equal(loaded.images.reshape(12, -1), FLAT)
    return loaded.labels if loaded.labels is None else loaded.labels.tolist()


def test_tables_of_pixels_are_square_images_row_after_row(tmp_path):
    assert read_with_a_word(write_table(tmp_path / "a.csv", FLAT), SQUARES + "row$") is None
    assert read_with_a_word(write_table(tmp_path / "a.amat", FLAT, separator="  "), SQUARES + "row$") is None
    names = [f"pixel{number}" for number in range(25)]
    assert read_with_a_word(write_table(tmp_path / "a.CSV", FLAT, header=names), SQUARES + "row$") is None


def test_the_labels_of_a_table_are_the_column_that_is_called_so_or_the_one_that_looks_so(tmp_path):
    pixels = [f"pixel{number}" for number in range(25)]
    digits = list(range(12)), DIGITS.tolist()
    as_in_kaggle = write_table(tmp_path / "a.csv", DIGITS, FLAT, header=["label", *pixels])
    assert read_with_a_word(as_in_kaggle, "row, labels in column 1$") == digits[1]
    as_in_larochelle = write_table(tmp_path / "a.amat", FLAT / 255, DIGITS.astype(float), separator=" ")
    assert read_with_a_word(as_in_larochelle, "row, labels in column 26$") == digits[1]
    parts = np.random.default_rng(2).random((12, 25))
    for at, columns in ((1, (DIGITS, parts)), (26, (parts, DIGITS))):
        with pytest.warns(UserWarning, match=f"labels in column {at}$"):
            assert data.load(write_table(tmp_path / "b.csv", *columns)).labels.tolist() == digits[1]
    bits, corner = FLAT // 128, np.zeros(12, int)
    for columns in ((DIGITS, bits), (parts, corner)):  # the first has two that look like labels, the second none
        refuse(write_table(tmp_path / "c.csv", *columns), "header line that calls it 'label'")


def test_tables_as_pandas_writes_them(tmp_path):
    path, table = tmp_path / "a.csv", pd.DataFrame(FLAT // 128 * 255)
    table.to_csv(path, index=False)  # its first line is 0,1,2,...
    with pytest.warns(UserWarning, match=SQUARES + "row$"):
        assert len(data.load(path)) == 12
    table.to_csv(path)
    refuse(path, "its first column counts the rows: leave it out, as pandas does with index=False")
    path.write_text("\n".join(", ".join(map(str, row)) for row in FLAT))  # a space before each number, no header
    assert read_with_a_word(path, SQUARES + "row$") is None


def test_images_that_are_not_square_have_their_shape_in_the_file_name(tmp_path):
    flat = GREY.reshape(12, 30)
    refuse(write_table(tmp_path / "a.csv", flat), r"30 numbers a row are no square image: name .* as in a-28x20.csv")
    for name in ("a-5x6.csv", "9x9 a 5x6.csv"):
        with pytest.warns(UserWarning, match="12 images of 5x6"):
            np.testing.assert_array_equal(data.load(write_table(tmp_path / name, flat)).images, GREY)
    scipy.io.savemat(tmp_path / "a-5x6.mat", {"ff": flat.T})
    with pytest.warns(UserWarning, match="12 images of 5x6, each a column"):
        np.testing.assert_array_equal(data.load(tmp_path / "a-5x6.mat").images, GREY)


@pytest.mark.parametrize("dtype", ["uint8", "float64", "int16"])
def test_the_matrix_of_a_mat_file(tmp_path, dtype):
    path = tmp_path / "a.mat"
    scipy.io.savemat(path, {"x": FLAT.astype(dtype), "scale": 3.0, "name": "faces", "labels": DIGITS})
    assert read_with_a_word(path, SQUARES + "row") == DIGITS.tolist()
    scipy.io.savemat(path, {"x": FLAT.T.astype(dtype), "images": FLAT, "y": DIGITS})
    assert read_with_a_word(path, SQUARES + "row") is None
    scipy.io.savemat(path, {"x": FLAT.T.astype(dtype)}, do_compression=True)
    assert read_with_a_word(path, SQUARES + "column") is None
    scipy.io.savemat(path, {"images": COLOUR})
    np.testing.assert_array_equal(quietly(path).images, COLOUR)


def test_mat_files_that_leave_a_doubt_are_refused(tmp_path, frugal):
    path = tmp_path / "a.mat"
    scipy.io.savemat(path, {"x": FLAT, "y": FLAT})
    refuse(path, "must hold one matrix of numbers, or one called 'images'; of numbers it holds: x, y")
    scipy.io.savemat(path, {"x": "text"})
    refuse(path, "it holds: none")
    scipy.io.savemat(path, {"x": FLAT[:9]})
    refuse(path, r"may be a row or a column of 9 x 25: name the height and width .* as in a-28x20.mat")
    scipy.io.savemat(path, {"x": FLAT[:, :24]})
    refuse(path, "24 numbers a row are no square image")
    scipy.io.savemat(path, {"x": np.zeros((1000, 400))}, do_compression=True)
    refuse(path, "would take 3,200,000 bytes, more than 1,048,576")
    path.write_bytes(b"junk")
    refuse(path, "a.mat cannot be read: ")
    path.with_suffix(".csv").write_text("1,2\n1,2,3,4\n")
    refuse(path.with_suffix(".csv"), "a.csv cannot be read: ")
    write_table(path.with_suffix(".csv"), np.full((3, 4), "x"))
    refuse(path.with_suffix(".csv"), "expected uint8 in 0 to 255")


# Attacks


@pytest.fixture
def frugal(monkeypatch):
    """A limit of a megabyte, and the proof that much more than that was never in memory, nor waited for."""
    monkeypatch.setattr(arrays, "LIMIT", 1 << 20)
    tracemalloc.start()
    began = time.monotonic()
    yield
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 30 << 20 and time.monotonic() - began < 20


def header(shape, dtype="|u1"):
    text = repr({"descr": dtype, "fortran_order": False, "shape": shape}).ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


def test_headers_that_promise_too_much(tmp_path, frugal):
    (tmp_path / "lie.npy").write_bytes(header((10**6, 10**4, 10**4)) + bytes(100))
    refuse(tmp_path / "lie.npy", "lie.npy cannot be read: ")
    with open(tmp_path / "true.npy", "wb") as file:
        file.write(header((2**20, 64, 64)))
        file.truncate(file.tell() + 2**32)  # a hole: takes no room
    refuse(tmp_path / "true.npy", "would take 4,294,967,296 bytes, more than 1,048,576: use fewer")
    (tmp_path / "lie").write_bytes(b"\x00\x00\x08\x03" + b"\x7f\xff\xff\xff" * 3)
    refuse(tmp_path / "lie", r"would take [\d,]+ bytes, more than")


def test_an_archive_whose_inner_header_lies(tmp_path):
    with zipfile.ZipFile(tmp_path / "lie.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("images.npy", header((10**6, 10**4, 10**4)) + bytes(100))
    refuse(tmp_path / "lie.npz", "lie.npz cannot be read: ")


def test_bombs(tmp_path, frugal):
    with (
        zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("x.npy", "w") as file,
    ):
        file.write(header((100, 1000, 1000)))
        for _ in range(100):
            file.write(bytes(10**6))
    refuse(tmp_path / "bomb.npz", "would take 100,000,128 bytes")
    with gzip.open(tmp_path / "bomb.gz", "wb", 1) as file:
        file.write(b"\x00\x00\x08\x03" + np.array([3, 100, 100], ">u4").tobytes())
        for _ in range(100):
            file.write(bytes(10**6))
    refuse(tmp_path / "bomb.gz", "promises 3 x 100 x 100 = 30000 bytes and holds more")


def test_folders_of_too_much_are_refused_by_their_headers(tmp_path, frugal, monkeypatch):
    white = Image.new("1", (1000, 400), 1)
    for number in range(3):
        white.save(tmp_path / f"{number}.png")
    with monkeypatch.context() as patch:
        patch.setattr(own, "_frames", lambda file: pytest.fail(f"decoded {file}"))
        refuse(tmp_path, "would take 3,600,000 bytes, more than 1,048,576: use fewer images, or smaller ones")
        refuse(tmp_path, "would take 90,000,000 bytes", size="5000x2000")
    assert quietly(tmp_path, size="8x8").shape == (8, 8)


def test_an_encrypted_archive(tmp_path):
    np.savez(tmp_path / "secret.npz", images=GREY)
    content = bytearray((tmp_path / "secret.npz").read_bytes())
    for mark, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # in the member's header and in the directory
        content[content.index(mark) + flags] |= 1
    (tmp_path / "secret.npz").write_bytes(content)
    refuse(tmp_path / "secret.npz", "secret.npz cannot be read: .*encrypted")


@pytest.mark.parametrize("name", ["pipe", "pipe.npy", "pipe.png"])
def test_a_pipe_is_not_waited_for(tmp_path, name):
    os.mkfifo(tmp_path / name)
    refuse(tmp_path / name, "is neither a folder nor a regular file: expected a folder of images")
    (tmp_path / "pics").mkdir()
    os.mkfifo(tmp_path / "pics" / name)
    refuse(tmp_path / "pics", "holds no image files")


@pytest.mark.parametrize(
    "file, name",
    [
        (".faces.npy", "faces"),
        ("two\nlines.npy", "two-lines"),
        ("x <img src=y onerror=alert(1)>`.npy", "x-img-src-y-onerror-alert-1"),
        ("..npy", "images"),
        ("schöne Bilder.v2.npy", "schöne-Bilder.v2"),
        ("cafe\u0301.npy", "café"),
        ("x" * 200 + ".npy", "x" * 60),
        ("mnist.npy", "own-mnist"),
    ],
    ids=["hidden", "newline", "markup", "dots", "spaces", "composed", "long", "a set's"],
)
def test_a_file_of_any_name_gets_a_title_that_can_stand_anywhere(tmp_path, file, name):
    with open(tmp_path / file, "wb") as opened:
        np.save(opened, GREY)
    assert quietly(tmp_path / file).name == name
    (tmp_path / file).write_text("no array")
    refuse(tmp_path / file, "cannot be read")
    assert quietly(save_all(tmp_path / "faces.v2")).name == "faces.v2"


def test_what_may_not_be_read_is_named(tmp_path, monkeypatch):
    def forbidden(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(own, "_contents", forbidden)  # the tests may run as a user whom nothing is forbidden
    refuse(tmp_path, "cannot be read: Permission denied")
