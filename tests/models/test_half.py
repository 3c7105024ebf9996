import numpy as np

from models.half import widen


def test_every_finite_half_comes_out_exactly():
    every = np.arange(2**16, dtype=np.uint16).view(np.float16)
    finite = every[np.isfinite(every)].reshape(-1, 32)
    widened = widen(finite)
    assert widened.dtype == np.float32
    assert np.array_equal(widened.view(np.int32), finite.astype(np.float32).view(np.int32))


def test_a_buffer_is_written_and_its_view_given_back():
    buffer = np.full((3, 2), 7, dtype=np.float32)
    view = widen(np.array([[1, -2], [0.5, 0]], dtype=np.float16), buffer)
    assert view.base is buffer
    assert buffer.tolist() == [[1, -2], [0.5, 0], [7, 7]]


def test_other_types_and_strided_rows_pass_as_well():
    rows = np.arange(12, dtype=np.float16).reshape(3, 4)
    assert widen(rows[:, ::2]).tolist() == [[0, 2], [4, 6], [8, 10]]
    assert widen(rows.astype(np.float64)).tolist() == rows.tolist()
