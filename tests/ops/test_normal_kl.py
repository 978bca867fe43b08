import numpy as np
import pytest
from keras import ops as kops
from support import gradients, normal, to_numpy

from keras_vqvae import ops


def test_the_divergence_by_numpy():
    mean, log_variance = normal((50,), 0, 2.0), normal((50,), 1, 3.0)
    m, v = np.float64(mean), np.float64(log_variance)
    expected = 0.5 * (m**2 + np.exp(v) - 1 - v)
    np.testing.assert_allclose(to_numpy(ops.normal_kl(mean, log_variance)), expected, rtol=1e-6)
    assert float(ops.normal_kl(0.0, 0.0)) == 0.0  # of the standard normal from itself
    by_variance, _ = gradients(lambda v: kops.sum(ops.normal_kl(mean, v)), log_variance)
    np.testing.assert_allclose(by_variance, 0.5 * np.expm1(v), rtol=1e-5, atol=1e-6)


def test_it_keeps_its_digits_near_the_standard_normal():
    v = np.float32([1e-3, -1e-3, 3e-2])
    exact = np.float64(v)
    expected = 0.5 * (exact**2 / 2 + exact**3 / 6 + exact**4 / 24)
    # exp(v) − 1 − v in float32 would have no digit right at 1e-3.
    np.testing.assert_allclose(to_numpy(ops.normal_kl(0.0, v)), expected, rtol=2e-3, atol=1e-11)


@pytest.mark.tensorflow_only
def test_the_divergence_is_tfps():
    tfd = pytest.importorskip("tensorflow_probability").distributions
    mean, log_variance = normal((50,), 0, 2.0), normal((50,), 1, 3.0)
    q = tfd.Normal(np.float64(mean), np.exp(0.5 * np.float64(log_variance)))
    expected = to_numpy(tfd.kl_divergence(q, tfd.Normal(np.float64(0), np.float64(1))))
    np.testing.assert_allclose(to_numpy(ops.normal_kl(mean, log_variance)), expected, rtol=1e-6)
