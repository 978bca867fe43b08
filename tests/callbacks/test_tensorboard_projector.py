import keras
import models_for_tests
import numpy as np
import pytest
from google.protobuf import text_format
from PIL import Image
from support import grey_images, to_numpy
from tensorboard.plugins.projector.projector_config_pb2 import ProjectorConfig

from keras_vqvae import callbacks, layers, models

IMAGES = grey_images(6)


def written(tmp_path, quantizer, dim=3, **kwargs):
    """A model that training leaves as it is, and what the projector is given of it."""
    encoder, decoder = models_for_tests.encoder(dim=dim), models_for_tests.decoder(dim=dim)
    model = models.VQVAE(encoder, quantizer, decoder)
    model.compile(keras.optimizers.SGD(0.0), run_eagerly=True)
    projector = callbacks.TensorBoardProjector(tmp_path, **kwargs)
    model.fit(IMAGES, epochs=2, batch_size=3, callbacks=[projector], verbose=0)
    text = (tmp_path / "projector_config.pbtxt").read_text()
    config = text_format.Parse(text, ProjectorConfig())
    return model, [read(tmp_path, entry) for entry in config.embeddings]


def read(tmp_path, entry):
    vectors = np.loadtxt(tmp_path / entry.tensor_path, delimiter="\t", ndmin=2)
    header, *rows = (tmp_path / entry.metadata_path).read_text().splitlines()
    assert header == "code\tuses"
    rows = np.array([[int(n) for n in row.split("\t")] for row in rows])
    np.testing.assert_array_equal(rows[:, 0], np.arange(len(vectors)))
    sprite = np.asarray(Image.open(tmp_path / entry.sprite.image_path))
    width, height = entry.sprite.single_image_dim
    across = sprite.shape[1] // width
    assert sprite.shape == (across * height, across * width, 3)
    assert (across - 1) ** 2 < len(vectors) <= across**2
    tiles = [
        sprite[i // across * height :, i % across * width :][:height, :width]
        for i in range(len(vectors))
    ]
    return entry.tensor_name, vectors, rows[:, 1], np.stack(tiles)


def as_pixels(images):
    return np.repeat(np.floor(np.clip(images, 0, 255) + 0.5).astype("uint8"), 3, axis=-1)


def test_the_projector_has_the_table_its_uses_and_what_codes_decode_to(tmp_path):
    quantizer = layers.VectorQuantizer(5, update="frozen", embeddings_initializer="random_normal")
    model, [(name, vectors, uses, tiles)] = written(tmp_path, quantizer)
    assert name == "codebook"
    np.testing.assert_array_equal(vectors.astype("float32"), to_numpy(quantizer.embeddings))
    codes = model.encode(IMAGES)
    np.testing.assert_array_equal(uses, np.bincount(codes.ravel(), minlength=5))
    for code in range(5):
        filled = model.decode(np.full((1, 2, 2), code))
        np.testing.assert_array_equal(tiles[code], as_pixels(filled)[0])


def test_a_table_that_is_not_stored_is_looked_up(tmp_path):
    _, [(_, vectors, uses, _)] = written(tmp_path, layers.FiniteScalarQuantizer((3, 2, 4)))
    assert vectors.shape == (24, 3)
    np.testing.assert_allclose(np.unique(vectors[:, 0]), [-1, 0, 1])
    assert len(np.unique(vectors, axis=0)) == 24
    np.testing.assert_allclose(vectors[1] - vectors[0], [1, 0, 0])  # the first counts fastest
    assert uses.sum() == IMAGES.shape[0] * 4


def test_of_several_codes_a_position_each_stands_alone(tmp_path):
    quantizer = layers.ResidualVectorQuantizer(2, 4, embeddings_initializer="random_normal")
    model, entries = written(tmp_path, quantizer)
    assert [entry[0] for entry in entries] == ["codebook_depth_0", "codebook_depth_1"]
    codes = model.encode(IMAGES)
    for depth, (_, vectors, uses, tiles) in enumerate(entries):
        table = to_numpy(quantizer.quantizers[depth].embeddings)
        np.testing.assert_array_equal(vectors.astype("float32"), table)
        np.testing.assert_array_equal(uses, np.bincount(codes[..., depth].ravel(), minlength=4))
        filled = np.full((4, 2, 2, 2), -1)
        filled[..., depth] = np.arange(4)[:, None, None]
        np.testing.assert_array_equal(tiles, as_pixels(model.decode(filled)))


@pytest.mark.parametrize(
    ("make", "dim", "shapes"),
    [
        (lambda: layers.MultiScaleVectorQuantizer(4, scales=(1, 2)), 3, [(4, 3)]),
        (lambda: layers.ProductQuantizer(2, 3, shared_codebook=True), 4, [(3, 2)]),
        (lambda: layers.LookupFreeQuantizer(3), 3, [(8, 3)]),
        (lambda: layers.SimVQ(4), 3, [(4, 3)]),
        (lambda: layers.ProjectedQuantizer(layers.VectorQuantizer(4), 2), 3, [(4, 2)]),
        (lambda: layers.GumbelQuantizer(4), 3, [(4, 3)]),
        (lambda: layers.BinaryMapper(2), 3, [(4, 3)]),
    ],
    ids=["multi_scale", "product", "lookup_free", "sim_vq", "projected", "gumbel", "binary_mapper"],
)
def test_tables_of_other_quantizers(tmp_path, make, dim, shapes):
    model, entries = written(tmp_path, make(), dim)
    assert [vectors.shape for _, vectors, _, _ in entries] == shapes
    assert len(model.quantizer.tables()) == len(entries)
    for _, vectors, uses, tiles in entries:
        assert np.isfinite(vectors).all()
        assert len(np.unique(vectors, axis=0)) == len(vectors)
        assert uses.sum() == model.encode(IMAGES).size
        assert tiles.shape == (len(vectors), 8, 8, 3)


def test_a_table_that_is_too_large_is_refused_by_name(tmp_path):
    quantizer = layers.FiniteScalarQuantizer((8, 8, 8), name="levels")
    with pytest.raises(ValueError, match=r"'levels' \(FiniteScalarQuantizer\) has 512 codes, too"):
        written(tmp_path, quantizer, max_codes=511)
    with pytest.raises(ValueError, match="`max_codes` should be a positive integer"):
        callbacks.TensorBoardProjector(tmp_path, max_codes=0)
    assert list(tmp_path.iterdir()) == []


def test_large_tiles_are_made_smaller():
    from keras_vqvae.callbacks.tensorboard_projector import _small

    grey = np.full((3, 100, 200, 1), 90, "uint8")
    tiles = _small(grey, side=64)
    assert tiles.shape == (3, 32, 64, 3)
    assert (tiles == 90).all()
