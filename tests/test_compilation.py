import keras
import numpy as np
import pytest
from support import to_numpy

from keras_vqvae.compilation import (
    CompiledFunction,
    has_accelerator,
    in_xla_of_tensorflow,
    is_concrete,
    resolve_jit_compile,
)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_compiled_function_follows_its_variables(jit_compile):
    weight = keras.Variable(2.0)
    double = CompiledFunction(lambda x: {"y": x * weight}, lambda: [weight], jit_compile)
    three = keras.ops.convert_to_tensor(3.0)
    assert float(double(three)["y"]) == 6.0
    weight.assign(5.0)
    assert float(double(three)["y"]) == 15.0


def test_a_compiled_function_is_traced_once_for_a_shape():
    traces = []

    def function(x):
        traces.append(tuple(x.shape))
        return x + 1.0

    compiled = CompiledFunction(function, list)
    for size in (2, 2, 3, 2):
        compiled(keras.ops.ones((size,)))
    assert traces == [(2,), (3,)]


def test_a_compiled_function_sees_that_a_layer_has_got_other_variables():
    layer = keras.layers.Dense(2, use_bias=False)
    layer.build((None, 2))
    x = keras.ops.ones((1, 2))
    compiled = CompiledFunction(lambda x: layer(x), lambda: layer.variables)
    before = to_numpy(compiled(x))
    layer.enable_lora(1)
    layer.lora_kernel_a.assign(np.ones((2, 1)))
    layer.lora_kernel_b.assign(np.ones((1, 2)))
    np.testing.assert_allclose(to_numpy(compiled(x)), before + 2.0, rtol=1e-6)


def test_jit_compile_is_checked_and_resolved():
    assert resolve_jit_compile(True) is True
    assert resolve_jit_compile(False) is False
    on_cpu = keras.backend.backend() == "tensorflow" and not has_accelerator()
    assert resolve_jit_compile("auto") == (False if on_cpu else "auto")
    with pytest.raises(ValueError, match="`jit_compile` should be"):
        resolve_jit_compile("yes")


@pytest.mark.tensorflow_only
def test_xla_is_seen_where_it_compiles():
    import tensorflow as tf

    seen = []

    def function():
        seen.append(in_xla_of_tensorflow())
        return tf.zeros(())

    for jit_compile in (False, True):
        tf.function(function, jit_compile=jit_compile)()
        # A function within is compiled with what calls it.
        tf.function(tf.function(function), jit_compile=jit_compile)()
    assert seen == [False, False, True, True]
    assert not in_xla_of_tensorflow()


def test_what_is_concrete():
    assert is_concrete(np.ones(2))
    assert is_concrete(3)
    assert is_concrete(keras.ops.ones(2))
    assert not is_concrete(keras.Input((2,)))
    seen = []

    def function(x):
        seen.append(is_concrete(x))
        return x

    CompiledFunction(function, list)(keras.ops.ones(2))
    assert seen == [False]
    assert to_numpy(keras.ops.ones(2)).tolist() == [1.0, 1.0]
