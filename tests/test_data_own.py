"""The user's own images: folders and arrays, good and bad."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from PIL import Image

from vaelib import data
from vaelib.data.own import read_arrays, to_grey

GREY = np.random.default_rng(0).integers(0, 256, (12, 5, 4), dtype=np.uint8)


def save_all(folder, images=GREY, pattern="{}.png"):
    folder.mkdir(exist_ok=True)
    for number, image in enumerate(images):
        Image.fromarray(image).save(folder / pattern.format(number))
    return folder


def refuse(path, message):
    with pytest.raises(data.DataError, match=message) as caught:
        data.load(path)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# Folders


def test_a_folder_in_the_natural_order_of_its_names(tmp_path):
    loaded = data.load(str(save_all(tmp_path / "faces")))
    np.testing.assert_array_equal(loaded.images, GREY)  # 10.png after 9.png
    assert loaded.name == "faces" and loaded.labels is None and loaded.stand_in_for is None
    assert loaded.splits == ("random", "time") and len(loaded.split().test) == 1
    assert len(loaded.sha256["images"]) == 64
    again = data.prepare(data.DataConfig(name=str(tmp_path / "faces"), split="time"))
    np.testing.assert_array_equal(again.test, GREY[-1:].reshape(1, 20) / np.float32(255))


@pytest.mark.parametrize("suffix", [".bmp", ".tif", ".PNG", ".webp", ".pgm"])
def test_any_format_that_pillow_reads(tmp_path, suffix):
    options = {"lossless": True} if suffix == ".webp" else {}
    for number, image in enumerate(GREY):
        Image.fromarray(image).save(tmp_path / f"{number}{suffix}", **options)
    np.testing.assert_array_equal(data.load(tmp_path).images, GREY)


def test_every_kind_of_pixel_becomes_grey(tmp_path):
    black_and_white = np.array([[0, 255], [255, 0]], np.uint8)
    red = np.zeros((2, 2, 3), np.uint8) + np.uint8([255, 0, 0])
    half_red = np.concatenate([red, np.full((2, 2, 1), 128, np.uint8)], axis=2)
    Image.fromarray(black_and_white).convert("1").save(tmp_path / "1-bit.png")
    Image.fromarray(red).save(tmp_path / "2-red.png")
    Image.fromarray(half_red).save(tmp_path / "3-half-red.png")
    Image.fromarray(red).convert("P").save(tmp_path / "4-palette.gif")
    Image.fromarray(black_and_white.astype(np.uint16) * 257).save(tmp_path / "5-sixteen.png")
    Image.fromarray(red).convert("CMYK").save(tmp_path / "6-cmyk.tif")
    images = data.load(tmp_path).images
    np.testing.assert_array_equal(images[[0, 4]], [black_and_white] * 2)
    assert set(np.unique(images[[1, 3, 5]])) == {76}  # 0.299 * 255
    assert set(np.unique(images[2])) == {165}  # half way to white


def test_a_photograph_is_turned_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # held on its side
    for number in range(3):
        Image.fromarray(GREY[number]).save(tmp_path / f"{number}.png", exif=exif)
    np.testing.assert_array_equal(data.load(tmp_path).images, np.rot90(GREY[:3], -1, axes=(1, 2)))


def test_hidden_files_are_skipped_and_others_are_reported(tmp_path):
    save_all(tmp_path / "faces")
    (tmp_path / "faces" / ".DS_Store").write_bytes(b"x")
    (tmp_path / "faces" / "notes.txt").write_text("x")
    (tmp_path / "faces" / "paper.pdf").write_text("x")
    (tmp_path / "faces" / "more").mkdir()
    with pytest.warns(UserWarning, match=r"left out more, notes.txt, paper.pdf, which are not image files"):
        assert len(data.load(tmp_path / "faces")) == 12


def test_bad_folders(tmp_path):
    refuse(tmp_path, "holds no image files")
    (tmp_path / "notes.txt").write_text("x")
    refuse(tmp_path, "holds no image files")
    refuse(tmp_path / "notes.txt", "neither a folder of images nor an .npy or .npz file")
    save_all(tmp_path / "two", GREY[:2])
    refuse(tmp_path / "two", r"holds 2 image\(s\): .* at least 3")


def test_mixed_sizes_name_two_files_and_their_sizes(tmp_path):
    save_all(tmp_path)
    Image.fromarray(GREY[0][:3]).save(tmp_path / "7.png")
    message = refuse(tmp_path, "mixed sizes")
    assert "0.png is 5x4 and 7.png is 3x4 (height x width)" in message and "resize" in message


@pytest.mark.parametrize("content", [b"", b"no image at all", "truncated"])
def test_an_unreadable_image_is_named(tmp_path, content):
    save_all(tmp_path)
    whole = (tmp_path / "3.png").read_bytes()
    (tmp_path / "3.png").write_bytes(whole[: len(whole) // 2] if content == "truncated" else content)
    refuse(tmp_path, r"3\.png cannot be read as an image")


def test_pixels_of_unknown_range_are_refused(tmp_path):
    save_all(tmp_path)
    Image.fromarray(GREY[0].astype(np.float32)).save(tmp_path / "4.tif")
    refuse(tmp_path, r"4\.tif has 32-bit pixels")


# Arrays


@given(
    hnp.arrays(np.uint8, st.tuples(st.integers(3, 6), st.integers(1, 5), st.integers(1, 5))),
    st.sampled_from(["uint8", "float32", "float64", "float16"]),
    st.booleans(),
)
def test_arrays_round_trip(tmp_path_factory, images, dtype, channel_axis):
    path = tmp_path_factory.mktemp("arrays") / "mine.npy"
    stored = images if dtype == "uint8" else (images / 255).astype(dtype)
    np.save(path, stored[..., None] if channel_axis else stored)
    loaded = data.load(path)
    np.testing.assert_array_equal(loaded.images, images)
    assert loaded.name == "mine"


def test_npz_with_labels_and_one_array_of_any_name(tmp_path):
    np.savez(tmp_path / "both.npz", images=GREY, labels=np.arange(12, dtype=np.uint8), other=np.zeros(3))
    both = data.load(tmp_path / "both.npz")
    assert both.labels.dtype == np.int64 and both.labels.tolist() == list(range(12))
    assert set(both.sha256) == {"images", "labels"}
    np.savez_compressed(tmp_path / "one.npz", whatever=GREY)
    np.testing.assert_array_equal(data.load(tmp_path / "one.npz").images, GREY)
    assert data.load(tmp_path / "one.npz").labels is None


@given(hnp.arrays(np.uint8, (2, 3, 4)))
def test_colour_arrays_become_grey_as_pillow_does_it(pixels):
    for channels in (3, 4):
        image = Image.fromarray(pixels[..., :channels] if channels == 3 else pixels)
        if channels == 4:
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
        difference = to_grey(pixels[..., :channels]).astype(int) - np.asarray(image.convert("L"))
        assert np.abs(difference).max() <= (0 if channels == 3 else 2)  # Pillow rounds each colour on white


def test_grey_stored_as_colour_stays_what_it_was():
    np.testing.assert_array_equal(to_grey(np.repeat(GREY[..., None], 3, axis=-1)), GREY)


@pytest.mark.parametrize(
    "array, message",
    [
        (np.zeros((3, 4), np.uint8), r"uint8 of shape \(3, 4\), expected shape \(N, H, W\)"),
        (np.zeros((3, 4, 4, 2), np.uint8), "with 1, 3 or 4 channels"),
        (np.zeros((0, 4, 4), np.uint8), "which is empty"),
        (np.zeros((3, 0, 4), np.uint8), "which is empty"),
        (np.zeros((3, 4, 4), np.int64), r"int64 of shape .*, expected uint8 in 0 to 255, or floats in \[0, 1\]"),
        (np.full((3, 4, 4), np.nan), "not finite numbers"),
        (np.full((3, 4, 4), np.inf), "not finite numbers"),
        (np.full((3, 4, 4), 1.5), r"in 1.5 to 1.5, expected floats in \[0, 1\]"),
        (np.full((3, 4, 4), -0.5), r"in -0.5 to -0.5, expected floats in \[0, 1\]"),
        (np.zeros((3, 4, 4), np.complex64), "complex64"),
        (np.full((3, 4, 4), "x"), "<U1"),
        (np.zeros((2, 4, 4), np.uint8), "at least 3"),
    ],
)
def test_bad_arrays(tmp_path, array, message):
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
    np.savez(tmp_path / "float.npz", images=GREY, labels=np.zeros(12))
    refuse(tmp_path / "float.npz", "float64 of shape .*expected integers")


@given(st.binary(max_size=200) | st.binary(max_size=100).map(lambda rest: b"\x93NUMPY\x01\x00" + rest))
def test_whatever_is_in_the_file_the_error_is_ours(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("junk") / "junk.npy"
    path.write_bytes(content)
    with pytest.raises(data.DataError, match=r"junk\.npy"):
        read_arrays(path)


def test_truncated_arrays_are_named(tmp_path):
    np.save(tmp_path / "a.npy", GREY)
    np.savez_compressed(tmp_path / "a.npz", images=GREY)
    for name in ("a.npy", "a.npz"):
        whole = (tmp_path / name).read_bytes()
        for kept in (1, 20, 90, len(whole) - 30):
            (tmp_path / name).write_bytes(whole[:kept])
            refuse(tmp_path / name, f"{name} cannot be read as NumPy arrays")
