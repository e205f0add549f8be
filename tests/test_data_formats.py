"""IDX and MATLAB files: round trips, and files that are truncated, damaged or of the wrong shape."""

import io

import numpy as np
import pytest
import scipy.io
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vaelib.data import DataError
from vaelib.data.frey import parse_mat
from vaelib.data.mnist import parse_idx

ARRAYS = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=6))


def idx(array):
    sizes = np.array(array.shape, ">u4").tobytes()
    return bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()


def mat(**variables):
    file = io.BytesIO()
    scipy.io.savemat(file, variables)
    return file.getvalue()


@given(ARRAYS)
def test_idx_round_trip(array):
    np.testing.assert_array_equal(parse_idx(idx(array), "file"), array)


@given(ARRAYS, st.data())
def test_a_truncated_or_longer_idx_file_is_refused(array, draw):
    content = idx(array)
    kept = draw.draw(st.integers(0, len(content) - 1))
    with pytest.raises(DataError, match="file"):
        parse_idx(content[:kept], "file")
    with pytest.raises(DataError, match="promises"):
        parse_idx(content + b"x", "file")


@pytest.mark.parametrize(
    "content", [b"", b"\x00\x00\x08", b"\x00\x00\x08\x00", b"\x00\x00\x0d\x01\x00\x00\x00\x00", b"PK34"]
)
def test_what_is_no_idx_file_of_bytes_is_refused(content):
    with pytest.raises(DataError, match="not an IDX file of unsigned bytes"):
        parse_idx(content, "file")


def test_idx_sizes_beyond_any_memory_are_refused_before_anything_is_made():
    with pytest.raises(DataError, match="promises 4294967295 x 4294967295"):
        parse_idx(b"\x00\x00\x08\x02" + b"\xff" * 8, "file")


def test_mat_columns_are_frames_and_rows_run_across_the_face():
    frames = np.random.default_rng(0).integers(0, 256, (7, 28, 20), dtype=np.uint8)
    np.testing.assert_array_equal(parse_mat(mat(ff=frames.reshape(7, 560).T), "file"), frames)


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "not a readable MATLAB file"),
        (b"MATLAB 5.0" + bytes(200), "not a readable MATLAB file"),
        (mat(faces=np.zeros((560, 3), np.uint8)), "no variable 'ff'"),
        (mat(ff=np.zeros((560, 3))), "got float64 of shape"),
        (mat(ff=np.zeros((3, 560), np.uint8)), r"shape \(3, 560\), expected uint8 of shape \(560, N\)"),
        (mat(ff=np.zeros((28, 20, 3), np.uint8)), r"shape \(28, 20, 3\)"),
    ],
)
def test_a_wrong_mat_file_is_refused(content, message):
    with pytest.raises(DataError, match=message):
        parse_mat(content, "file")


def test_a_truncated_mat_file_is_refused():
    content = mat(ff=np.random.default_rng(0).integers(0, 256, (560, 40), dtype=np.uint8))
    for kept in (50, 127, 140, 1000, len(content) - 100):
        with pytest.raises(DataError, match="file"):
            parse_mat(content[:kept], "file")
