import math

import numpy as np
import pytest
from keras import ops as kops

from keras_vqvae import ops


def test_bits_per_dimension_by_hand():
    # One of 256 values for each of 12 numbers: 8 bits each.
    nats = -12 * math.log(256)
    assert ops.bits_per_dimension(nats, (2, 2, 3)) == pytest.approx(8.0, rel=1e-15)
    array = ops.bits_per_dimension(np.array([nats, 0.0]), (2, 2, 3))
    assert array.dtype == np.float64
    np.testing.assert_allclose(array, [8, 0])
    tensor = ops.bits_per_dimension(kops.convert_to_tensor([nats]), (2, 2, 3))
    assert float(tensor[0]) == pytest.approx(8.0, rel=1e-6)
