"""The code in docs/quantizers.md and docs/from_vector_quantize_pytorch.md does what they say."""

import re

import keras
import numpy as np
import pytest
from support import (
    ROOT,
    block_with,
    gradients,
    grey_images,
    normal,
    same_bits,
    to_numpy,
    train_often,
)

import keras_vqvae
from keras_vqvae import callbacks, codebooks, layers, models

TEXT = (ROOT / "docs" / "quantizers.md").read_text(encoding="utf-8")


PAGE = "docs/quantizers.md"


def run(*texts):
    """The names that the blocks with these texts leave behind, run one after another."""
    names = {"keras": keras, "layers": layers, "ops": keras.ops}
    for text in texts:
        exec(block_with(PAGE, text), names)
    return names


def small_vqvae(quantizer):
    return models.VQVAE(
        models.convolutional_encoder((8, 8, 1), embedding_dim=3, widths=(4,)),
        quantizer,
        models.convolutional_decoder((8, 8, 1), embedding_dim=3, widths=(4,)),
    )


def test_every_quantizer_is_in_the_table():
    quantizers = {
        name
        for name in layers.__all__
        if issubclass(getattr(layers, name), layers.Quantizer) and name != "Quantizer"
    }
    assert len(quantizers) >= 20
    assert {name for name in quantizers if f"| `{name}` | " not in TEXT} == set()


def test_the_constructors_of_the_docs_work():
    block = block_with(PAGE, "layers.GroupedQuantizer(")
    made = [eval(line, {"layers": layers}) for line in block.splitlines() if "layers." in line[:8]]
    assert [len(layer.table_sizes) for layer in made] == [1, 8, 2, 8, 4, 1, 1, 1, 2, 4, 4, 9]
    bits = [layer.uniform_bits_per_position for layer in made]
    expected = [9, 80, 18, 80, 32, 13, np.log2(1000), 18, 36, 32, 48, 90]
    np.testing.assert_allclose(bits, expected, rtol=1e-12)
    assert [made[i].embedding_dim for i in (6, 7, 8)] == [4, 18, 36]


# -- of one's own ---------------------------------------------------------------------------------


def test_the_quantizer_of_the_docs_works():
    layer = run("class Rounder")["Rounder"]()
    x = np.array([[[0.2], [0.9]]], "float32")
    layer.build(x.shape)
    out = layer.discretize(x, training=True, mask=np.array([[True, False]]))
    assert to_numpy(out.indices).tolist() == [[0, -1]]
    assert to_numpy(layer(x)).tolist() == [[[0.0], [1.0]]]
    assert to_numpy(layer.decode(layer.encode(x))).tolist() == [[[0.0], [1.0]]]
    assert to_numpy(layer.code_counts).tolist() == [1, 0]


def test_the_quantizer_of_the_docs_keeps_its_argument(tmp_path):
    Rounder = run("class Rounder")["Rounder"]
    inputs = keras.Input((2, 1))
    model = keras.Model(inputs, Rounder(levels=5)(inputs))
    model.save(tmp_path / "model.keras")
    layer = keras.models.load_model(tmp_path / "model.keras").layers[-1]
    assert (layer.num_embeddings, layer.codebook_shape) == (5, (5, 1))
    x = np.array([[[0.3], [7.0]]], "float32")
    assert to_numpy(layer.encode(x)).tolist() == [[1, 4]]
    assert to_numpy(layer(x)).tolist() == [[[0.25], [1.0]]]


def test_the_estimator_of_the_docs_has_the_codes_as_value_and_half_the_gradient(tmp_path):
    estimator = run("class Rounder", "def half_straight_through")["half_straight_through"]
    x, codes = normal((4, 3)), normal((4, 3), seed=1)
    assert same_bits([to_numpy(estimator(keras.ops.convert_to_tensor(x), codes))], [codes])
    upstream = normal((4, 3), seed=2)
    gradient, _ = gradients(lambda v: keras.ops.sum(estimator(v, codes) * upstream), x)
    np.testing.assert_allclose(gradient, 0.5 * upstream, rtol=1e-6)
    inputs = keras.Input((3,))
    model = keras.Model(inputs, layers.VectorQuantizer(4, estimator=estimator)(inputs))
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras").layers[-1]
    assert again.estimator is estimator


@pytest.mark.parametrize("replaces", [None, True, False])
def test_the_attributes_of_an_estimator_do_what_the_page_says(replaces):
    class ToTheLastCode:
        trains_codes = True

        def __call__(self, vectors, codes, seed=None):
            return codes

        def place(self, vectors, table, seed, chunk_size):
            indices = keras.ops.full((len(vectors),), 3, "int32")
            codes = keras.ops.take(table, indices, axis=0)
            return codes, codes, indices

    estimator = ToTheLastCode()
    if replaces is not None:
        estimator.replaces_codebook_loss = replaces
    for name in ("trains_codes", "replaces_codebook_loss", "place"):
        assert f"- `{name}" in TEXT
    with pytest.raises(ValueError, match="the table should learn by it"):
        layers.VectorQuantizer(4, estimator=estimator, update="ema")
    layer = layers.VectorQuantizer(4, estimator=estimator)
    layer.build((None, 2))
    table = normal((4, 2))
    layer.embeddings.assign(table)
    trained, evaluated = layer.discretize(table, training=True), layer.discretize(table)
    assert to_numpy(trained.indices).tolist() == [3, 3, 3, 3]
    assert to_numpy(evaluated.indices).tolist() == [0, 1, 2, 3]
    assert ("codebook_loss" in trained.losses) == (replaces is False)


def test_a_trained_table_keeps_its_place_as_the_page_says():
    table, counts = 10.0 * np.eye(4, 3, dtype="float32"), np.full(4, 25.0, "float32")
    x = np.repeat(table, 25, axis=0) + 1.0  # by 25 vectors each, 1 away
    statement = 'new.codebook.update_state["counts"].assign(counts)'
    assert statement in TEXT
    moved = []
    for kept in (False, True):
        new = layers.VectorQuantizer(4, update="ema")
        new.build((None, 3))
        new.embeddings.assign(table)
        if kept:
            exec(statement, {"new": new, "counts": counts})
        new(x, training=True)
        moved.append(to_numpy(new.embeddings) - table)
    np.testing.assert_allclose(moved[0], 1.0, rtol=1e-5)  # the whole way
    np.testing.assert_allclose(moved[1], 0.01, rtol=1e-3)  # 1 − γ of it


def test_a_table_loses_its_unused_codes_as_the_page_says(tmp_path):
    keras.utils.set_random_seed(0)
    quantizer = layers.VectorQuantizer(32, update="ema", embeddings_initializer="kmeans")
    vqvae = models.convolutional_vqvae(
        (8, 8, 1), embedding_dim=3, widths=(4,), quantizer=quantizer, value_range=(0, 1)
    )
    vqvae.compile("adam")
    images = grey_images(4).astype("float32") / 255.0
    vqvae.fit(images, verbose=0)
    # Codes that nothing is near to, between those that are in use.
    table = to_numpy(quantizer.embeddings)
    quantizer.embeddings.assign(np.where(np.arange(32)[:, None] % 3 == 0, 4.0, table))
    names = {"keras": keras, "layers": layers, "models": models, "np": np}
    names.update(vqvae=vqvae, images=images)
    exec(block_with(PAGE, "np.unique(vqvae.encode(images))"), names)
    used, smaller, codes = names["used"], names["smaller"], names["codes"]
    assert 1 < len(used) < 22
    assert smaller.quantizer.num_embeddings == len(used)
    np.testing.assert_array_equal(used[codes], vqvae.encode(images))
    assert same_bits([smaller.reconstruct(images)], [vqvae.reconstruct(images)])
    smaller.save(tmp_path / "smaller.keras")
    again = keras.models.load_model(tmp_path / "smaller.keras")
    np.testing.assert_array_equal(again.encode(images), codes)


def test_a_vae_becomes_a_vq_vae_as_the_page_says():
    vae = models.convolutional_vae((8, 8, 1), embedding_dim=4, widths=(4, 4))
    images = grey_images(3)
    names = {"keras": keras, "layers": layers, "vae": vae, "images": images}
    exec(block_with(PAGE, "quantizer.encode(vae"), names)
    means, table = vae.encode(images), to_numpy(names["quantizer"].quantizers[0].embeddings)
    assert table.shape == (512, 1)
    assert table.std() == pytest.approx(1.0, abs=0.15)  # of 512: three standard errors are 0.1
    nearest = np.abs(means[..., None] - table[:, 0]).argmin(-1)
    np.testing.assert_array_equal(to_numpy(names["codes"]), nearest)
    expected = vae.decode(table[nearest][..., 0])
    np.testing.assert_array_equal(names["reconstructions"], expected)


# -- numbers by schedule --------------------------------------------------------------------------

HALVING = keras.optimizers.schedules.ExponentialDecay(1.0, 1, 0.5)


def test_the_callback_of_the_docs_sees_each_value(capsys):
    model = small_vqvae(layers.VectorQuantizer(4, beta=HALVING))
    model.compile("adam")
    at_the_end = []

    class Directly(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            at_the_end.append(float(model.quantizer.number("beta")))

    watched = [run("class WatchBeta")["WatchBeta"](), Directly()]
    model.fit(grey_images(6), batch_size=2, epochs=2, verbose=0, callbacks=watched)
    seen = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [int(batch) for batch, _ in seen] == [0, 1, 2, 0, 1, 2]
    assert [float(value) for _, value in seen] == [0.5, 0.25, 0.125, 0.0625, 0.03125, 0.015625]
    assert at_the_end == [0.125, 0.015625]


def test_the_temperature_is_a_weight_in_any_case():
    for temperature in (1.0, HALVING):
        layer = layers.GumbelQuantizer(4, temperature=temperature)
        layer.build((None, 3))
        layer.temperature_weight.assign(0.75)
        assert float(layer.number("temperature")) == 0.75
        train_often(layer, normal((6, 3)), 1)
        assert float(layer.number("temperature")) == (0.75 if temperature == 1.0 else 0.5)
    plain = layers.VectorQuantizer(4)
    plain.build((None, 3))
    assert not [weight for weight in plain.weights if weight.name == "beta"]
    assert plain.number("beta") == 0.25


def test_the_tensorboard_callback_of_the_docs_writes_the_temperature(tmp_path, monkeypatch):
    names = {"callbacks": callbacks}
    exec(block_with("docs/tensorboard.md", "class Temperature"), names)
    model = small_vqvae(layers.GumbelQuantizer(4, temperature=HALVING))
    model.compile("adam")
    written = []

    def scalar(events, tag, value, step):
        written.append((tag, float(value), step))

    monkeypatch.setattr(callbacks.EventFile, "scalar", scalar)
    watched = [names["Temperature"](tmp_path, every=1)]
    model.fit(grey_images(4), batch_size=2, epochs=2, verbose=0, callbacks=watched)
    assert written == [("temperature", 0.25, 0), ("temperature", 0.0625, 1)]


# -- options --------------------------------------------------------------------------------------


def test_what_the_page_says_of_cosine_and_frozen_tables_and_padding():
    x = 5.0 * normal((1, 6, 2))
    cosine = layers.VectorQuantizer(8, distance="cosine")
    # float32 rounding of a root.
    np.testing.assert_allclose(np.linalg.norm(to_numpy(cosine(x)), axis=-1), 1.0, rtol=1e-6)
    revival = codebooks.ReplaceUnused(after_steps=1)
    for option, moved in ((None, False), (revival, True)):
        frozen = layers.VectorQuantizer(8, update="frozen", revival=option, seed=1)
        frozen.build(x.shape)
        before = to_numpy(frozen.embeddings)
        train_often(frozen, x, 2)
        assert (to_numpy(frozen.embeddings) != before).any() == moved
    mask = np.arange(6)[None] < 4
    indices = cosine(x, mask=mask, return_indices=True)[1]
    np.testing.assert_array_equal(to_numpy(indices), np.where(mask, cosine.encode(x), -1))


# -- from vector-quantize-pytorch -----------------------------------------------------------------

PEER = (ROOT / "docs" / "from_vector_quantize_pytorch.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| (.+?) \| (.+) \|$", PEER, re.MULTILINE)[1:]
NAMES = {
    "layers": layers,
    "codebooks": codebooks,
    "ops": keras.ops,
    "keras_vqvae": keras_vqvae,
    "levels": (3, 5),
}
NAMES |= {"K": 8, "N": 64, "T": 2, "Q": 2, "G": 2, "B": 3, "γ": 0.9, "τ": 0.1, "w": 0.5, "g": 2.0}
NAMES |= {"v": 0.5, "h": 2, "c": 1, "b": 4, "n": 3, "m": 2, "p": 0.5, "s": (1, 3), "t": 0.5}
NAMES |= {"bridge": keras.layers.Dense(8)}


def spans(cell):
    """The pieces of a cell that are code of this package."""
    return [code for code in re.findall(r"`([^`]+)`", cell) if re.search(r"layer|=", code)]


def layers_of(cell):
    for code in spans(cell):
        if not re.match(r"layer\b", code) and not code.startswith("separate"):
            called = code if code.startswith("layers.") else f"layers.VectorQuantizer(K, {code})"
            yield code, eval(called, NAMES)


@pytest.mark.parametrize(("there", "cell"), ROWS, ids=[there for there, _ in ROWS])
def test_what_stands_for_an_argument_works(there, cell):
    assert spans(cell), there
    for code, layer in layers_of(cell):
        dim = layer.embedding_dim or 8
        if isinstance(layer, layers.ProjectedQuantizer):
            dim = 7  # of any length
        z = normal((2, 3, dim))
        if isinstance(layer, layers.MultiScaleVectorQuantizer):
            z = normal((2, *layer.scales[-1], dim))
        z_q, indices = layer(z, training=True, return_indices=True)
        assert z_q.shape == z.shape, code
        assert np.isfinite(to_numpy(z_q)).all(), code
        several_scales = isinstance(layer, layers.MultiScaleVectorQuantizer)
        assert tuple(indices.shape)[:2] == (2, layer.num_indices if several_scales else 3), code
        again = type(layer).from_config(layer.get_config())
        assert again.get_config() == layer.get_config(), code


def test_what_is_a_call_in_the_table_works():
    names = {
        **NAMES,
        "layer": layers.VectorQuantizer(8, update="ema", revival="replace_dead", seed=1),
        "z": normal((2, 3, 2)),
        "lens": np.array([3, 1]),
        "mask": np.array([[True, True, True], [True, False, False]]),
    }
    cells = " ".join(cell for _, cell in ROWS)
    calls = re.findall(r"`(layer\(.+?\)|layer\..+?)`", cells)
    assert len(calls) == 7
    with_indices, of_losses, frozen, plain, masked, by_length, decoded = calls
    layer, z = names["layer"], names["z"]
    layer.build(z.shape)
    before = to_numpy(layer.embeddings)
    names["indices"] = layer.encode(z)
    np.testing.assert_array_equal(to_numpy(eval(with_indices, names)[1]), names["indices"])
    # In hand, and none of it is in the layer's own.
    held = sum(float(v) for v in eval(of_losses.replace("True", "False"), names).values())
    assert float(sum(layer.losses)) == pytest.approx(held)
    assert same_bits([to_numpy(eval(plain, names))], [to_numpy(eval(decoded, names))])
    values = to_numpy(eval(masked, names))
    assert same_bits([to_numpy(eval(by_length, names))], [values])
    assert (values[1, 1:] == 0).all()
    exec(frozen, names)
    train_often(layer, z, 2)
    assert same_bits([to_numpy(layer.embeddings)], [before])
