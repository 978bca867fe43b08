"""What a seed says: the same numbers again, and other ones for each purpose."""

import keras
import numpy as np
import pytest
from support import to_numpy

from keras_vqvae import codebooks, layers
from keras_vqvae.codebooks import Codebook
from keras_vqvae.layers import ResidualVectorQuantizer, VectorQuantizer


def test_what_is_dropped_does_not_depend_on_what_depth_0_draws():
    drawn = codebooks.SampledCode(1e6)
    layer = ResidualVectorQuantizer(2, 2, assignment=drawn, dropout="sample", seed=0)
    indices = to_numpy(layer(np.zeros((4000, 1), "float32"), training=True, return_indices=True)[1])
    for code in (0, 1):
        dropped = np.mean(indices[indices[:, 0] == code, 1] == -1)
        assert dropped == pytest.approx(0.5, abs=0.05)  # 4 standard deviations of 2000


def test_an_initializer_with_a_generator_goes_on():
    start = keras.initializers.RandomNormal(seed=keras.random.SeedGenerator(3))
    layer = ResidualVectorQuantizer(3, 6, embeddings_initializer=start)
    layer.build((None, 2))
    tables = [to_numpy(part.embeddings) for part in layer.quantizers]
    assert not any(np.array_equal(tables[i], tables[j]) for i, j in ((0, 1), (1, 2), (0, 2)))


def test_no_two_blocks_of_implicit_depths_start_alike():
    layer = layers.ImplicitResidualVectorQuantizer(4, 6, num_blocks=2, hidden_dim=5, seed=0)
    layer.build((None, 3))
    starts = [to_numpy(w.kernel) for part in layer.quantizers[1:] for w in part.network.widen]
    assert len(starts) == 6
    assert len({start.tobytes() for start in starts}) == 6


@pytest.mark.parametrize(
    "layer",
    [
        lambda: ResidualVectorQuantizer(3, 4, seed=0),
        lambda: layers.ProductQuantizer(3, 4, seed=0),
        lambda: layers.MultiScaleVectorQuantizer(4, (1, 2, 4), num_convolutions=3, seed=0),
        lambda: layers.ProjectedQuantizer(
            VectorQuantizer(4), 6, keras.initializers.GlorotUniform(seed=0), use_bias=False
        ),
    ],
    ids=["residual", "product", "multi_scale", "projected"],
)
def test_no_two_weights_of_one_seed_start_alike(layer):
    layer = layer()
    layer.build((None, 4, 4, 6))
    starts = [to_numpy(w) for w in layer.weights if w.path.endswith(("embeddings", "kernel"))]
    assert len(starts) > 2
    assert len({start.tobytes() for start in starts}) == len(starts)


@pytest.mark.parametrize(
    "make",
    [
        lambda seed: VectorQuantizer(4, seed=seed),
        lambda seed: ResidualVectorQuantizer(2, 4, seed=seed),
        lambda seed: layers.GroupedResidualVectorQuantizer(2, 2, 4, seed=seed),
        lambda seed: layers.ProductQuantizer(2, 4, seed=seed),
        lambda seed: layers.ImplicitResidualVectorQuantizer(2, 4, seed=seed),
        lambda seed: layers.MultiScaleVectorQuantizer(4, (1, 2), seed=seed),
        lambda seed: layers.RandomProjectionQuantizer(4, 2, seed=seed),
        lambda seed: layers.FiniteScalarQuantizer((3, 3), noise_dropout=0.5, seed=seed),
        lambda seed: layers.FiniteScalarPerturbation((3, 3), seed=seed),
        lambda seed: layers.SimVQ(4, seed=seed),
        lambda seed: layers.GumbelQuantizer(4, seed=seed),
        lambda seed: layers.BinaryMapper(2, seed=seed),
    ],
)
def test_seeds_are_integers(make):
    assert make(np.int64(3)).get_config()["seed"] == 3
    make(2**31 - 1).build((None, 2, 2, 2))  # and what parts make of it
    for wrong in (keras.random.SeedGenerator(1), 1.5, "1", True, -1, 2**31):
        with pytest.raises(ValueError, match=r"`seed` should be an integer in \[0, 2\*\*31\)"):
            make(wrong)


@pytest.mark.parametrize(
    "make",
    [
        lambda seed: ResidualVectorQuantizer(2, 4, seed=seed),
        lambda seed: layers.ProductQuantizer(2, 4, seed=seed),
        lambda seed: layers.ImplicitResidualVectorQuantizer(2, 4, seed=seed),
        lambda seed: layers.GroupedResidualVectorQuantizer(2, 2, 4, seed=seed),
    ],
)
def test_parts_take_one_seed_after_another(make):
    def seeds(layer):
        return [book.seed for book in layer._flatten_layers() if isinstance(book, Codebook)]

    first = seeds(make(5))
    assert sorted(first) == list(range(5, 5 + len(first)))
    assert seeds(make(2**31 - 1)) == [(seed - 6) % 2**31 for seed in first]
