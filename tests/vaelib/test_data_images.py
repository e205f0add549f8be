"""IDX files: round trips, and files that are truncated, damaged or of the wrong shape."""

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from vaelib.data import DataError
from vaelib.data.images import parse_idx

ARRAYS = hnp.arrays(np.uint8, hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=6))


def idx(array):
    sizes = np.array(array.shape, ">u4").tobytes()
    return bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()


def parse(content):
    return parse_idx(io.BytesIO(content), "file")


@given(ARRAYS)
def test_idx_round_trip(array):
    np.testing.assert_array_equal(parse(idx(array)), array)


@given(ARRAYS, st.data())
def test_a_truncated_or_longer_idx_file_is_refused(array, draw):
    content = idx(array)
    kept = draw.draw(st.integers(0, len(content) - 1))
    with pytest.raises(DataError, match="file"):
        parse(content[:kept])
    with pytest.raises(DataError, match=r"promises .* holds more"):
        parse(content + b"x")


@pytest.mark.parametrize(
    "content", [b"", b"\x00\x00\x08", b"\x00\x00\x08\x00", b"\x00\x00\x0d\x01\x00\x00\x00\x00", b"PK34"]
)
def test_what_is_no_idx_file_of_bytes_is_refused(content):
    with pytest.raises(DataError, match="not an IDX file of unsigned bytes"):
        parse(content)


def test_idx_sizes_beyond_any_memory_are_refused_before_anything_is_made():
    with pytest.raises(DataError, match="would take 18,446,744,065,119,617,025 bytes, more than 4,294,967,296"):
        parse(b"\x00\x00\x08\x02" + b"\xff" * 8)
