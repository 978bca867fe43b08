import keras
import numpy as np
import pytest
from support import gradients, normal, to_numpy

from keras_vqvae import ops
from keras_vqvae.ops import (
    SynchronizedUpdate,
    get_gradient_estimator,
    rotation_trick,
    straight_through,
)

ESTIMATORS = ["straight_through", "rotation", "synchronized", "diveq", "sf_diveq", "nsvq"]


def weighted(estimator, codes, weights, **kwargs):
    """A function of the vectors; `weights` is the gradient of what follows the estimator."""
    estimator = get_gradient_estimator(estimator)
    return lambda x: keras.ops.sum(estimator(x, codes, **kwargs) * weights)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_the_value_is_the_codes_to_the_last_bit(name):
    # x + (q − x) would be rounded: here x is 10⁸ times as large as q.
    estimator = get_gradient_estimator(name)
    vectors, codes = normal((5, 3), 0, scale=1e8), normal((5, 3), 1)
    np.testing.assert_array_equal(to_numpy(estimator(vectors, codes)), codes)


@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.parametrize("dim", [1, 2, 5])
def test_trap_13_value_and_gradients_at_the_edges(name, dim):
    """Zero vectors and codes, equal, opposite and nearly opposite ones; also of one dimension."""
    q = normal((1, dim), 1)
    zero, tiny = np.zeros_like(q), np.full_like(q, 1e-30)
    pairs = [(zero, q), (q, zero), (zero, zero), (q, q), (-q, q), (-2 * q, q), (tiny, q)]
    pairs += [(-q * (1 + 1e-6), q), (-q + 1e-4 * normal((1, dim), 2), q), (1e18 * q, q)]
    vectors = np.concatenate([x for x, _ in pairs]).astype("float32")
    codes = keras.Variable(np.concatenate([q for _, q in pairs]))
    weights = normal(vectors.shape, 3)
    estimator = get_gradient_estimator(name)
    np.testing.assert_array_equal(to_numpy(estimator(vectors, codes)), to_numpy(codes))
    by_vectors, (by_codes,) = gradients(weighted(name, codes, weights), vectors, [codes])
    assert np.isfinite(by_vectors).all()
    assert np.isfinite(by_codes).all()


@pytest.mark.parametrize("name", ["straight_through", "rotation"])
def test_codes_get_no_gradient(name):
    codes = keras.Variable(normal((5, 3), 1))
    _, (by_codes,) = gradients(weighted(name, codes, normal((5, 3), 2)), normal((5, 3)), [codes])
    assert not by_codes.any()


def test_straight_through_hands_the_gradient_to_the_vectors_as_it_is():
    weights = normal((5, 3), 2)
    by_vectors, _ = gradients(
        weighted("straight_through", normal((5, 3), 1), weights), normal((5, 3))
    )
    np.testing.assert_array_equal(by_vectors, weights)


@pytest.mark.parametrize("nu", [0.0, 0.7, 2.0])
def test_trap_28_a_synchronized_code_gets_nu_times_what_follows(nu):
    codes, weights = keras.Variable(normal((5, 3), 1)), normal((5, 3), 2)
    estimator = SynchronizedUpdate(nu)
    by_vectors, (by_codes,) = gradients(
        weighted(estimator, codes, weights), normal((5, 3)), [codes]
    )
    np.testing.assert_array_equal(by_vectors, weights)
    np.testing.assert_allclose(by_codes, nu * weights, rtol=1e-6)


# -- rotation trick -------------------------------------------------------------------------------


def rotation(x, q):
    """The scaled rotation of arXiv 2410.06424, §4.2, as a float64 matrix."""
    x, q = x.astype("float64"), q.astype("float64")
    e, c = x / np.linalg.norm(x), q / np.linalg.norm(q)
    w = (e + c) / np.linalg.norm(e + c)
    R = np.eye(len(x)) - 2 * np.outer(w, w) + 2 * np.outer(c, e)
    return np.linalg.norm(q) / np.linalg.norm(x), R


def test_trap_13_the_published_map_is_a_rotation_to_the_code():
    """The oracle itself: orthogonal, determinant 1, takes the vector to the code."""
    x, q = normal((4,), 0), normal((4,), 1)
    scale, R = rotation(x, q)
    np.testing.assert_allclose(R @ R.T, np.eye(4), atol=1e-12)
    assert np.linalg.det(R) == pytest.approx(1.0)
    np.testing.assert_allclose(scale * R @ x, q, atol=1e-6)


@pytest.mark.parametrize("dim", [2, 3, 8])
def test_rotation_gradient_is_the_transposed_published_map(dim):
    x, q, weights = normal((7, dim)), normal((7, dim), 1), normal((7, dim), 2)
    by_x, _ = gradients(weighted("rotation", q, weights), x)
    for i in range(7):
        scale, R = rotation(x[i], q[i])
        # Nearly opposite directions lose digits: those here are at least 0.1 from it.
        np.testing.assert_allclose(by_x[i], scale * R.T @ weights[i], rtol=1e-4, atol=1e-5)


def test_rotation_keeps_the_angle_between_gradient_and_vector():
    x, q, weights = normal((4, 3)), normal((4, 3), 1), normal((4, 3), 2)
    by_x, _ = gradients(weighted("rotation", q, weights), x)

    def cosine(a, b):
        return np.sum(a * b, -1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)

    np.testing.assert_allclose(cosine(by_x, x), cosine(weights, q), atol=1e-5)


def test_where_no_rotation_exists_the_gradient_goes_straight_through():
    q = normal((1, 3), 1)
    # The last one has a direction, but is so short that the gradient would grow a millionfold.
    x = np.concatenate([0 * q, -3 * q, q, 1e-7 * normal((1, 3), 3)])
    codes = np.concatenate([q, q, 0 * q, q])
    weights = normal((4, 3), 2)
    by_x, _ = gradients(weighted("rotation", codes, weights), x)
    np.testing.assert_array_equal(by_x, weights)


# -- DiVeQ and NSVQ -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "estimator", [ops.DiVeQ(), ops.DiVeQ(0.0), ops.SFDiVeQ(), ops.NSVQ()], ids=str
)
def test_noise_estimators_hand_both_sides_their_gradient(estimator):
    """With u the direction of the step and g what follows: g + (u·g)(x − q)/‖q − x‖ by x."""
    x, q, g = normal((5, 3)), normal((5, 3), 1), normal((5, 3), 2)
    codes = keras.Variable(q)
    by_x, (by_q,) = gradients(weighted(estimator, codes, g), x, [codes])
    u = (q - x) / np.linalg.norm(q - x, axis=-1, keepdims=True)
    along = np.sum(u * g, -1, keepdims=True)
    np.testing.assert_allclose(by_x, g - along * u, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(by_q, along * u, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("estimator", [ops.DiVeQ(0.1), ops.NSVQ()], ids=str)
def test_in_training_the_step_has_the_true_length(estimator):
    x, q = normal((5, 3)), normal((5, 3), 1)
    out = to_numpy(estimator(x, q, seed=keras.random.SeedGenerator(0)))
    assert not np.array_equal(out, q)
    np.testing.assert_allclose(
        np.linalg.norm(out - x, axis=-1), np.linalg.norm(q - x, axis=-1), rtol=1e-5
    )


def test_without_noise_diveq_gives_the_codes_in_training_too():
    vectors, codes = normal((5, 3), 0, scale=1e8), normal((5, 3), 1)
    out = ops.DiVeQ(0.0)(vectors, codes, seed=keras.random.SeedGenerator(0))
    np.testing.assert_array_equal(to_numpy(out), codes)  # to the last bit


def test_trap_26_noise_std_is_a_standard_deviation():
    # The step's deviation from q − x is the noise, to first order and across the step.
    x, q = np.zeros((20000, 2), "float32"), np.tile(np.float32([[1.0, 0.0]]), (20000, 1))
    out = to_numpy(ops.DiVeQ(0.01)(x, q, seed=keras.random.SeedGenerator(0)))
    assert out[:, 1].std() == pytest.approx(0.01, rel=0.03)  # 20000 draws: ±0.5 %


def test_nsvq_steps_in_every_direction():
    x, q = np.zeros((2000, 2), "float32"), np.tile(np.float32([[1.0, 0.0]]), (2000, 1))
    out = to_numpy(ops.NSVQ()(x, q, seed=keras.random.SeedGenerator(0)))
    assert np.abs(out.mean(0)).max() < 0.1  # of 2000 unit vectors: 0.016 on average


def test_noise_estimators_survive_a_vector_on_its_code_in_training():
    q = normal((3, 2))
    seed = keras.random.SeedGenerator(0)
    for estimator in (ops.DiVeQ(), ops.NSVQ()):
        codes = keras.Variable(q)
        by_x, (by_q,) = gradients(weighted(estimator, codes, 1.0, seed=seed), q, [codes])
        assert np.isfinite(by_x).all()
        assert np.isfinite(by_q).all()


# -- names ----------------------------------------------------------------------------------------


def test_unknown_names_list_the_known_ones():
    with pytest.raises(
        ValueError, match=r"should be one of .*'straight_through', 'synchronized'\]"
    ):
        get_gradient_estimator("gumbel")


def test_names_configs_and_objects():
    assert get_gradient_estimator("straight_through") is straight_through
    assert get_gradient_estimator("rotation") is rotation_trick
    diveq = ops.DiVeQ(0.5)
    assert get_gradient_estimator(diveq) is diveq
    config = keras.saving.serialize_keras_object(diveq)
    assert get_gradient_estimator(config) == diveq
    with pytest.raises(ValueError, match="`noise_std` should be ≥ 0"):
        ops.DiVeQ(-1.0)
