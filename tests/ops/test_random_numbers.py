import keras
import numpy as np
import pytest
from support import to_numpy

from keras_vqvae.compilation import CompiledFunction
from keras_vqvae.ops import random_normal, random_uniform


def _generator(seed=7):
    return keras.random.SeedGenerator(seed)


def _as_run(draw, compiled, generator):
    """What two calls of `draw(generator)` give, each of a new state."""
    if not compiled:
        return [to_numpy(draw(generator)) for _ in range(2)]
    if keras.backend.backend() == "jax":
        pytest.skip("JAX draws by `keras.random` in every case")
    import tensorflow as tf

    run = tf.function(lambda: draw(generator), jit_compile=True)
    return [to_numpy(run()) for _ in range(2)]


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_they_are_those_of_keras_and_differ_from_call_to_call(dtype, compiled):
    pairs = [
        (
            lambda seed: random_uniform((3, 5), seed, -2.0, 0.5, dtype),
            lambda seed: keras.random.uniform((3, 5), -2.0, 0.5, dtype=dtype, seed=seed),
        ),
        (
            lambda seed: random_normal((3, 5), seed, dtype),
            lambda seed: keras.random.normal((3, 5), dtype=dtype, seed=seed),
        ),
    ]
    for ours, theirs in pairs:
        first, second = _as_run(ours, compiled, _generator())
        expected = _as_run(theirs, compiled, _generator())
        np.testing.assert_array_equal([first, second], expected)
        assert (first != second).any()


@pytest.mark.parametrize("seed", [3, None])
def test_other_seeds_are_taken_as_keras_takes_them(seed):
    for ours, theirs in (
        (random_uniform, keras.random.uniform),
        (random_normal, keras.random.normal),
    ):
        found, expected = ours((4,), seed), theirs((4,), seed=seed)
        assert found.shape == expected.shape
        assert (seed is None) == bool((to_numpy(found) != to_numpy(expected)).any())


def test_the_size_may_be_unknown():
    generator = _generator()
    draw = CompiledFunction(
        lambda x: random_uniform(keras.ops.shape(x), generator) + 0.0 * x,
        variables=lambda: [generator.state],
    )
    for count in (1, 4):
        found = to_numpy(draw(keras.ops.zeros((count, 2))))
        assert found.shape == (count, 2)
        assert ((found >= 0) & (found < 1)).all()


@pytest.mark.tensorflow_only
def test_xla_is_asked_for_philox():
    """Without its name XLA on a CPU takes far longer for the same numbers."""
    import tensorflow as tf

    generator = _generator()
    for draw in (
        lambda: random_uniform((3,), generator),
        lambda: random_normal((3,), generator),
    ):
        graph = tf.function(draw).get_concrete_function().graph
        algorithms = [
            int(tf.get_static_value(op.inputs[3]))
            for op in graph.get_operations()
            if op.type.startswith("StatelessRandom") and op.type.endswith("V2")
        ]
        assert set(algorithms) == {1}
