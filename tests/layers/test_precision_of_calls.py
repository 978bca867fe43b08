"""A call compares vectors as they come, whatever the layer's policy makes of its output."""

import keras
import numpy as np
import pytest
from support import normal, to_numpy

from keras_vqvae import layers

MADE = {
    "vector": lambda policy: layers.VectorQuantizer(512, 4, dtype=policy),
    "residual": lambda policy: layers.ResidualVectorQuantizer(2, 64, 4, dtype=policy),
    "finite_scalar": lambda policy: layers.FiniteScalarQuantizer((8, 8, 8, 8), dtype=policy),
    "product": lambda policy: layers.ProductQuantizer(2, 64, dtype=policy),
}


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
@pytest.mark.parametrize("make", MADE.values(), ids=MADE)
def test_codes_of_a_call_are_those_of_encode(make, policy):
    z, layer = normal((2000, 4)), make(policy)
    z_q, indices = layer(z, return_indices=True)
    np.testing.assert_array_equal(to_numpy(indices), to_numpy(layer.encode(z)))
    assert keras.backend.standardize_dtype(z_q.dtype) == policy.removeprefix("mixed_")


def test_vectors_that_half_precision_does_not_hold_are_no_infinite_ones():
    layer = layers.VectorQuantizer(4, 2, update="ema", dtype="mixed_float16")
    layer(np.full((8, 2), 1e5, "float32"), training=True)
    assert float(layer.codebook.refused_batches) == 0


def test_doubles_become_what_the_policy_computes_in():
    z_q = layers.VectorQuantizer(4, 2)(np.ones((3, 2)))
    assert keras.backend.standardize_dtype(z_q.dtype) == "float32"
