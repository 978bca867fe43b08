import keras
import numpy as np
import pytest
from support import gradients, normal, to_numpy

from keras_vqvae.codebooks import Codebook, Cosine, Euclidean


def built(**options):
    codebook = Codebook(4, 2, **options)
    codebook.build((None, 2))
    return codebook


def test_lookup_by_hand():
    codebook = built()
    codebook.embeddings.assign([[0, 1], [2, 3], [4, 5], [6, 7]])
    found = to_numpy(codebook.lookup(np.array([[3, -1], [0, 0]])))
    assert found.tolist() == [[[6, 7], [0, 0]], [[0, 1], [0, 1]]]


def test_cosine_compares_angles():
    codebook = built(distance="cosine")
    codebook.embeddings.assign([[10, 0], [0, 0.1], [-1, 0], [0, -5]])
    x = Cosine().normalize(np.array([[0.1, 0.2], [3.0, 2.0]], "float32"))
    assert to_numpy(codebook.search(x)).tolist() == [1, 0]
    # Codes come out at unit length; rsqrt is good to the last bits only.
    np.testing.assert_allclose(
        to_numpy(codebook.lookup(np.arange(4))), [[1, 0], [0, 1], [-1, 0], [0, -1]], atol=1e-6
    )


def test_normalisation():
    x = normal((5, 3))
    np.testing.assert_array_equal(to_numpy(Euclidean().normalize(x)), x)
    np.testing.assert_allclose(
        to_numpy(Cosine().normalize(x)), x / np.linalg.norm(x, axis=-1, keepdims=True), rtol=1e-5
    )
    assert not to_numpy(Cosine().normalize(np.zeros((1, 3), "float32"))).any()  # and no NaN


@pytest.mark.parametrize("length", [1e-30, 1e-7, 1e20, 1e37])
def test_angles_are_those_of_vectors_of_any_length(length):
    x = normal((5, 3))
    unit = x / np.linalg.norm(x, axis=-1, keepdims=True)
    found, by_x = to_numpy(Cosine().normalize(x * np.float32(length))), normal((5, 3), 1)
    np.testing.assert_allclose(found, unit, rtol=1e-5, atol=1e-7)
    # The gradient is what is across the vector, over its length.
    found, _ = gradients(lambda x: keras.ops.sum(Cosine().normalize(x) * by_x), x)
    across = by_x - (by_x * unit).sum(-1, keepdims=True) * unit
    np.testing.assert_allclose(
        found, across / np.linalg.norm(x, axis=-1, keepdims=True), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("argument", ["num_embeddings", "embedding_dim", "chunk_size"])
@pytest.mark.parametrize("wrong", [0, -3, 2.5, True, "8"])
def test_sizes_are_positive_integers(argument, wrong):
    with pytest.raises(ValueError, match=f"`{argument}` should be a positive integer") as e:
        Codebook(**{"num_embeddings": 4, argument: wrong})
    assert f"Received: {argument}={wrong!r}" in str(e.value)


def test_sizes_may_be_numpy_integers():
    assert Codebook(np.int64(4), np.int32(2)).get_config()["num_embeddings"] == 4


def test_indices_must_fit_int32():
    with pytest.raises(ValueError, match=r"at most 2\*\*30"):
        Codebook(2**30 + 1)


@pytest.mark.parametrize("shape", [(None, 3), (None, None)])
def test_build_refuses_another_or_an_unknown_length(shape):
    with pytest.raises(ValueError, match="expects vectors of length 2"):
        Codebook(4, 2).build(shape)


def test_unknown_distances_are_refused():
    with pytest.raises(ValueError, match="`distance` should be one of"):
        Codebook(4, distance="manhattan")
