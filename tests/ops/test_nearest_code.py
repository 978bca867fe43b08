import logging
import math
import sys

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import gradients, normal, run_python, to_numpy

from keras_vqvae.compilation import CompiledFunction
from keras_vqvae.ops import default_chunk_size, highest_score, nearest_code, take_rows
from keras_vqvae.ops.nearest_code import _augment, full_product
from keras_vqvae.ops.row_chunks import _map_any


def brute_force(vectors, table):
    """argmin over explicit squared distances in float64; ties to the lowest index."""
    difference = np.float64(vectors)[:, None] - np.float64(table)[None]
    return np.square(difference).sum(-1).argmin(-1)


def search(vectors, table, chunk_size=None, compiled=False):
    """The search as it is or compiled by XLA, which compares otherwise with TensorFlow on a CPU."""
    if not compiled:
        return to_numpy(nearest_code(vectors, table, chunk_size))
    run = CompiledFunction(lambda v, t: nearest_code(v, t, chunk_size), variables=list)
    return to_numpy(run(*map(keras.ops.convert_to_tensor, (vectors, table))))


both_ways = pytest.mark.parametrize("compiled", [False, True])


def test_by_hand():
    # Squared distances of 0.4 to the codes 0, 1, −1: 0.16, 0.36, 1.96; of −0.6: 0.36, 2.56, 0.16.
    table = np.array([[0.0], [1.0], [-1.0]], "float32")
    vectors = np.array([[0.4], [-0.6], [5.0]], "float32")
    assert search(vectors, table).tolist() == [0, 2, 1]


@settings(max_examples=40, deadline=None)
@given(
    count=st.integers(0, 9),
    codes=st.integers(1, 7),
    dim=st.integers(1, 3),
    chunk_size=st.one_of(st.none(), st.integers(1, 10)),
    seed=st.integers(0, 2**16),
)
def test_is_brute_force_and_ties_go_to_the_lowest_index(count, codes, dim, chunk_size, seed):
    # Small integers: float32 is exact, and ties are many.
    rng = np.random.default_rng(seed)
    vectors = rng.integers(-2, 3, (count, dim)).astype("float32")
    table = rng.integers(-2, 3, (codes, dim)).astype("float32")
    np.testing.assert_array_equal(search(vectors, table, chunk_size), brute_force(vectors, table))


@both_ways
@pytest.mark.parametrize(
    "codes", [16, 17, 31, 32, 63, 64, 65, 100, 127, 130, 257, 512, 513, 1000, 2049, 4097]
)
def test_in_blocks_and_lanes_ties_go_to_the_lowest_index_too(codes, compiled):
    rng = np.random.default_rng(codes)
    vectors = rng.integers(-3, 4, (200, 3)).astype("float32")
    table = rng.integers(-3, 4, (codes, 3)).astype("float32")
    expected = brute_force(vectors, table)
    np.testing.assert_array_equal(search(vectors, table, compiled=compiled), expected)
    np.testing.assert_array_equal(search(vectors, table, 7, compiled), expected)
    table[-1] = 9.0  # the last code of a block that is filled up
    assert search(table[-1:], table, compiled=compiled).tolist() == [codes - 1]


@pytest.mark.parametrize(("count", "dim"), [(6, 3), (6, 4), (5, 4)])
@pytest.mark.parametrize("codes", [8, 17, 100, 600, 1000])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38])
@both_ways
def test_what_has_no_nearest_code_gets_one_of_the_table(codes, value, count, dim, compiled):
    vectors, table = normal((count, dim), 0), normal((codes, dim), 1)
    vectors[2] = vectors[4, 1] = value
    found = search(vectors, table, compiled=compiled)
    assert ((found >= 0) & (found < codes)).all()
    usual = [0, 1, 3]
    np.testing.assert_array_equal(found[usual], search(vectors[usual], table))


@both_ways
@pytest.mark.parametrize("codes", [64, 300])
def test_is_brute_force_on_noise(codes, compiled):
    vectors, table = normal((1000, 8), 0), normal((codes, 8), 1)
    squares = np.square(np.float64(vectors)[:, None] - np.float64(table)[None]).sum(-1)
    nearest, second = np.sort(squares, axis=-1)[:, :2].T
    # Scores of about 10 are rounded to 1e-6, so who is nearer by more than 1e-5 must be found.
    clear = second - nearest > 1e-5
    assert clear.mean() > 0.99
    found = search(vectors, table, compiled=compiled)
    np.testing.assert_array_equal(found[clear], squares.argmin(-1)[clear])


@pytest.mark.parametrize("shift", [100.0, 1000.0, -1000.0])
def test_far_from_zero_it_is_brute_force_too(shift):
    # Both are whole multiples of 2⁻¹², so that the shift itself rounds nothing.
    grid = [
        np.round(normal(shape, seed) * 2**12) / 2**12
        for shape, seed in (((1000, 8), 0), ((64, 8), 1))
    ]
    vectors, table = (np.float32(part + shift) for part in grid)
    squares = np.square(np.float64(vectors)[:, None] - np.float64(table)[None]).sum(-1)
    nearest, second = np.sort(squares, axis=-1)[:, :2].T
    # Products of |x| ≈ 8^½ · shift with offsets of about 3 are rounded to 2⁻²⁴ of that.
    clear = second - nearest > 1e-6 * abs(shift) * 10
    assert clear.mean() > 0.95
    np.testing.assert_array_equal(search(vectors, table)[clear], squares.argmin(-1)[clear])


@pytest.mark.parametrize("spread", [1.0, 1e-2, 1e-3, 1e-5])
@pytest.mark.parametrize("offset", [0.0, 0.4, -0.4, 10.3, 1000.4])
def test_codes_near_to_one_another_are_told_apart_wherever_they_lie(offset, spread):
    """As collapsed latents are: what float32 holds of their differences decides."""
    vectors, table = (
        np.float32(offset + spread * normal(shape, seed))
        for shape, seed in (((300, 16), 0), ((128, 16), 1))
    )
    differences = np.float64(vectors)[:, None] - np.float64(table)[None]
    squares = np.square(differences).sum(-1)
    nearest, second = np.sort(squares, axis=-1)[:, :2].T
    clear = second - nearest > 1e-5 * nearest
    assert clear.mean() > 0.9 or offset > 1 > spread * 1e4
    np.testing.assert_array_equal(search(vectors, table)[clear], squares.argmin(-1)[clear])


@pytest.mark.parametrize("scale", [8.0, 1.0, 2.0**-10])
@pytest.mark.parametrize("shift", [0.0, 0.5, -3.0, 1024.0])
def test_ties_of_codes_of_few_digits_go_to_the_lowest_index(scale, shift):
    rng = np.random.default_rng(0)
    table = np.float32(scale * (rng.integers(-4, 5, (30, 3)) + shift))
    vectors = np.float32(scale * (0.5 * rng.integers(-9, 10, (400, 3)) + shift))
    squares = np.square(np.float64(vectors)[:, None] - np.float64(table)[None]).sum(-1)
    assert ((squares == squares.min(-1, keepdims=True)).sum(-1) > 1).any()
    np.testing.assert_array_equal(search(vectors, table), squares.argmin(-1))


@pytest.mark.parametrize("chunk_size", [1, 2, 7, 49, 50, 51, 1000])
def test_trap_23_any_chunk_size_gives_the_same(chunk_size):
    vectors, table = normal((50, 4), 0), normal((8, 4), 1)
    np.testing.assert_array_equal(search(vectors, table, chunk_size), search(vectors, table))


def test_eager_chunks_bring_no_warning_of_tensorflow():
    if keras.backend.backend() != "tensorflow":
        pytest.skip("TensorFlow's loop")
    import tensorflow as tf

    lines = []
    handler = logging.Handler()
    handler.emit = lines.append
    tf.get_logger().addHandler(handler)
    try:
        search(normal((50, 4), 0), normal((8, 4), 1), chunk_size=7)
    finally:
        tf.get_logger().removeHandler(handler)
    assert not lines


def test_the_way_of_other_backends_gives_the_same():
    vectors, table = normal((50, 4), 0), normal((8, 4), 1)
    half_norms = 0.5 * np.square(table).sum(-1, keepdims=True)
    augmented = keras.ops.convert_to_tensor(np.concatenate([table, -half_norms], -1).T)
    for chunk_size in (7, 50, 100):
        found = _map_any(
            lambda chunk: highest_score(full_product(_augment(chunk), augmented)),
            keras.ops.convert_to_tensor(vectors),
            chunk_size,
            (),
        )
        np.testing.assert_array_equal(to_numpy(found), search(vectors, table))


def test_far_from_the_origin_the_nearest_code_is_still_found():
    # ‖x‖² is left out of the score, so that it cannot drown the differences between codes.
    table = normal((8, 4), 1)
    vectors = table[[3, 5]] + 1e-3
    assert search(vectors * 300, table * 300).tolist() == [3, 5]


@both_ways
@pytest.mark.parametrize("chunk_size", [None, 2])
@pytest.mark.parametrize("codes", [4, 512])
def test_no_vectors_give_no_indices(codes, chunk_size, compiled):
    found = search(np.zeros((0, 3), "float32"), normal((codes, 3)), chunk_size, compiled)
    assert found.shape == (0,)
    assert found.dtype == np.int32


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_trap_14_compares_in_float32_whatever_comes(dtype):
    vectors = normal((32, 4), 0, scale=300.0)
    # JAX has no float64 of its own: there it comes as NumPy.
    vectors = np.float64(vectors) if dtype == "float64" else keras.ops.cast(vectors, dtype)
    table = normal((8, 4), 1, scale=300.0)
    full = to_numpy(keras.ops.cast(vectors, "float32"))
    np.testing.assert_array_equal(search(vectors, table), brute_force(full, table))


@pytest.mark.tensorflow_only
@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("codes", [8, 512])
def test_unknown_number_of_vectors(codes, jit_compile):
    import tensorflow as tf

    table = normal((codes, 4), 1)
    compiled = tf.function(
        lambda x: nearest_code(x, table, 5),
        input_signature=[tf.TensorSpec((None, 4))],
        jit_compile=jit_compile,
    )
    for count in (0, 1, 5, 6, 23):
        vectors = normal((count, 4), count)
        np.testing.assert_array_equal(to_numpy(compiled(vectors)), brute_force(vectors, table))
    assert compiled.experimental_get_tracing_count() == 1


@pytest.mark.parametrize("codes", [8, 512])
def test_a_count_that_is_a_symbol_is_no_obstacle(codes):
    class Search(keras.layers.Layer):
        def call(self, x):
            return nearest_code(x, normal((codes, 4), 1), 5)

    # Without `compute_output_spec` Keras traces `call`, on JAX with a symbol for the batch.
    assert Search()(keras.Input((4,))).shape == (None,)


def test_trap_23_memory_stays_bounded():
    """2^18 vectors × 1024 codes are 1 GiB of scores at one time; in chunks, at most 32 MiB."""
    mebibytes = run_python(
        "import resource, numpy as np\n"
        "from keras_vqvae.ops import nearest_code\n"
        "table = np.ones((1024, 2), 'float32')\n"
        "nearest_code(np.ones((20000, 2), 'float32'), table)\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024\n"
        "before = peak()\n"
        "nearest_code(np.ones((2**18, 2), 'float32'), table)\n"
        "print(peak() - before)\n"
    )
    assert float(mebibytes.split()[-1]) < 300


@pytest.mark.parametrize("shape", [(), (0,), (6,), (2, 3)])
def test_rows_at_indices_with_their_gradient(shape):
    rng = np.random.default_rng(0)
    table, indices = normal((5, 3)), rng.integers(0, 5, shape).astype("int32")
    np.testing.assert_array_equal(to_numpy(take_rows(table, indices)), table[indices])

    upstream = normal((*shape, 3), seed=1)
    gradient, _ = gradients(
        lambda t: keras.ops.sum(take_rows(t, keras.ops.convert_to_tensor(indices)) * upstream),
        table,
    )
    expected = np.zeros_like(table)
    np.add.at(expected, indices, upstream)
    np.testing.assert_allclose(gradient, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("codes", [64, 65, 250, 257, 300, 513, 1000, 2049, 10_000, 65_536, 10**6])
def test_lanes_fill_little_up_and_leave_few_to_compare_at_last(codes, monkeypatch):
    module = sys.modules["keras_vqvae.ops.highest_score"]
    monkeypatch.setattr(module, "in_xla_of_tensorflow", lambda: True)
    monkeypatch.setattr(module, "has_accelerator", lambda: False)
    lanes = module.lanes_for(codes)
    assert codes <= math.prod(lanes) <= 1.12 * codes
    assert max(lanes) <= 16
    assert not module.lanes_for(63)


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="JAX alone has such a bound")
def test_few_codes_make_no_long_chunks_on_jax():
    assert default_chunk_size(2) == default_chunk_size(1_024) == 4_096
    assert default_chunk_size(8_192) == 512
