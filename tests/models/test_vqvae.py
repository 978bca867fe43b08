import keras
import numpy as np
import pytest
import scipy.stats
from models_for_tests import Pairs, decoder, encoder, vqvae
from support import grey_images, run_python, same_bits, to_numpy, values_of

from keras_vqvae import models
from keras_vqvae.codebooks import EMAUpdate, KMeans, ReplaceDead
from keras_vqvae.layers import VectorQuantizer
from keras_vqvae.models.codes import check_codes


def fit(model, images, **kwargs):
    return model.fit(images, **{"verbose": 0, "shuffle": False, "batch_size": 4, **kwargs}).history


def ema_quantizer(**options):
    options = {"embeddings_initializer": "kmeans", "revival": "replace_dead", **options}
    return VectorQuantizer(5, update=EMAUpdate(0.9), seed=1, **options)


def test_logs_name_every_term_and_their_sum_is_the_loss():
    logs = fit(vqvae(), grey_images(8), validation_data=grey_images(4, seed=1))
    terms = ["reconstruction_loss", "codebook_loss", "commitment_loss"]
    figures = ["loss", *terms, "perplexity", "codebook_usage"]
    assert set(logs) == {*figures, "gradient_norm", *(f"val_{name}" for name in figures)}
    for prefix in ("", "val_"):
        total = sum(logs[prefix + name][0] for name in terms)
        assert logs[prefix + "loss"][0] == pytest.approx(total, rel=1e-5)


def test_evaluate_lists_every_figure_once():
    model = vqvae()
    logs = model.evaluate(grey_images(4), verbose=0, return_dict=True)
    values = model.evaluate(grey_images(4), verbose=0)
    assert sorted(values) == sorted(logs.values())


def test_layers_without_a_known_shape_are_built_by_the_first_images():
    model = models.VQVAE(
        keras.layers.Conv2D(2, 4, 4), VectorQuantizer(5), keras.layers.Conv2DTranspose(1, 4, 4)
    )
    model.compile("adam")
    fit(model, grey_images(4))
    assert model.code_shape == (2, 2)
    assert model.encode(grey_images(2)).shape == (2, 2, 2)


def test_an_ema_table_logs_no_codebook_loss():
    logs = fit(vqvae(ema_quantizer()), grey_images(8))
    assert "codebook_loss" not in logs
    assert logs["commitment_loss"][0] > 0


def test_beta_weighs_the_commitment_term_of_the_logs():
    images = grey_images(4)
    found = []
    for beta in (0.25, 1.0):
        keras.utils.set_random_seed(0)
        quantizer = VectorQuantizer(5, beta=beta)
        found.append(vqvae(quantizer).evaluate(images, verbose=0, return_dict=True))
    assert found[1]["commitment_loss"] == pytest.approx(4 * found[0]["commitment_loss"], rel=1e-5)
    assert found[1]["codebook_loss"] == pytest.approx(found[0]["codebook_loss"], rel=1e-6)
    assert found[1]["codebook_loss"] == pytest.approx(found[1]["commitment_loss"], rel=1e-5)


def test_regularization_of_encoder_layers_is_in_the_loss():
    model = vqvae(regularizer=keras.regularizers.L2(0.1))
    logs = model.evaluate(grey_images(4), verbose=0, return_dict=True)
    kernel = to_numpy(model.encoder.layers[0].kernel)
    terms = ("reconstruction_loss", "codebook_loss", "commitment_loss")
    expected = sum(logs[name] for name in terms) + 0.1 * np.square(kernel).sum()
    assert logs["loss"] == pytest.approx(expected, rel=1e-5)


def test_trap_22_perplexity_is_scipys_of_the_epochs_codes():
    model = vqvae()
    images = grey_images(16)
    counts = np.bincount(model.encode(images).ravel(), minlength=5)
    for batch_size in (1, 16):
        logs = model.evaluate(images, batch_size=batch_size, verbose=0, return_dict=True)
        expected = np.exp(scipy.stats.entropy(counts))
        assert logs["perplexity"] == pytest.approx(expected, rel=1e-5)  # float32
        assert logs["codebook_usage"] == pytest.approx((counts > 0).mean())


def test_usage_is_counted_in_training_only():
    model = vqvae()
    images = grey_images(8)
    model.evaluate(images, verbose=0)
    model.predict(images, verbose=0)
    assert to_numpy(model.quantizer.code_counts).sum() == 0
    fit(model, images, validation_data=images, epochs=2)
    assert to_numpy(model.quantizer.code_counts).sum() == 2 * 8 * 4  # epochs, images, codes each


@pytest.mark.parametrize("quantizer", [None, ema_quantizer], ids=["gradient", "ema"])
def test_trap_2_the_table_trains_with_the_model(quantizer):
    model = vqvae(quantizer() if quantizer else None)
    model.build((None, 8, 8, 1))
    before = to_numpy(model.quantizer.embeddings)
    fit(model, grey_images(8))
    assert not np.array_equal(to_numpy(model.quantizer.embeddings), before)


def test_trap_24_accumulated_gradients_step_once_and_an_ema_table_each_time():
    """Trap 24. Every vector counts once, and γ^(1/k) for k batches forgets as γ for one does."""
    decay = 0.9**0.5
    quantizer = VectorQuantizer(
        5, update=EMAUpdate(decay), embeddings_initializer="random_normal", seed=1
    )
    optimizer = keras.optimizers.SGD(0.1, gradient_accumulation_steps=2)
    model = vqvae(quantizer, compile_args={"optimizer": optimizer})
    images = grey_images(8)
    vectors = to_numpy(model.encoder(images / 255.0 - 0.5)).reshape(2, -1, 3)  # 4 images each
    table, N = to_numpy(quantizer.embeddings), np.array([4.0, 0.0, 0.0, 0.0, 0.0])
    table[0] = 99.0  # nothing chooses it
    quantizer.embeddings.assign(table)
    quantizer.codebook.update_state["counts"].assign(N)
    kernel = to_numpy(model.encoder.layers[0].kernel)
    for half, batch in enumerate(vectors):
        chosen = np.eye(5)[np.square(batch[:, None] - table).sum(-1).argmin(-1)]
        M = decay * N[:, None] * table + (1 - decay) * chosen.T @ batch
        N = decay * N + (1 - decay) * chosen.sum(0)
        table = np.where(N[:, None] > 0, M / np.maximum(N, 1e-9)[:, None], table)
        fit(model, images[4 * half : 4 * half + 4])
        # The encoder waits for the second half, so both halves' vectors are those of its start.
        assert np.array_equal(to_numpy(model.encoder.layers[0].kernel), kernel) == (half == 0)
    np.testing.assert_allclose(to_numpy(quantizer.embeddings), table, rtol=1e-4, atol=1e-5)
    counts = to_numpy(quantizer.codebook.update_state["counts"])
    np.testing.assert_allclose(counts, N, rtol=1e-5)
    assert counts[0] == pytest.approx(0.9 * 4.0, rel=1e-5)
    assert to_numpy(quantizer.code_counts).sum() == 8 * 4


@pytest.mark.parametrize("eagerly", [True, False])
def test_a_gradient_table_starts_from_data_and_is_revived_on_every_backend(eagerly):
    """With rates of 0 the optimizer moves nothing: what moves is what the step itself sets."""
    quantizer = VectorQuantizer(
        5, embeddings_initializer="kmeans", revival=ReplaceDead(0.9, 0.1), seed=1
    )
    arguments = {"optimizer": keras.optimizers.SGD(0.0), "run_eagerly": eagerly}
    model = vqvae(quantizer, compile_args=arguments)
    images = grey_images(8)
    start = to_numpy(quantizer.embeddings)
    fit(model, images, batch_size=8)
    table = to_numpy(quantizer.embeddings)
    assert not (table == start).all(-1).any()
    assert fit(model, images, batch_size=8)["gradient_norm"][0] > 0
    # No weight of the encoder moves, so the vectors stay; a code far from all of them is dead.
    quantizer.embeddings.assign(np.where(np.arange(5)[:, None] == 2, 99.0, table))
    fit(model, images, batch_size=8)
    assert np.abs(to_numpy(quantizer.embeddings)).max() < 99.0


def test_the_codebook_loss_trains_the_table_in_the_step_it_starts_from_data_too():
    images = grey_images(8)
    moved = []
    for rate in (0.0, 10.0):
        keras.utils.set_random_seed(0)
        quantizer = VectorQuantizer(5, embeddings_initializer=KMeans(0), seed=1)
        model = vqvae(quantizer, compile_args=with_rates(0.0, rate))
        fit(model, images, batch_size=8)
        moved.append(to_numpy(quantizer.embeddings))
    assert np.abs(moved[0] - moved[1]).max() > 1e-4


# -- two optimizers -------------------------------------------------------------------------------


def with_rates(rate, codebook_rate):
    sgd = keras.optimizers.SGD
    return {"optimizer": sgd(rate), "codebook_optimizer": sgd(codebook_rate)}


def test_codebook_optimizer_has_a_rate_of_its_own():
    images = grey_images(4)
    model = vqvae(compile_args=with_rates(0.0, 0.5))
    rest, table = values_of(model.encoder), to_numpy(model.quantizer.embeddings)
    # The gradient by hand: 2(e − x) over all elements, summed over the vectors of each code.
    z = to_numpy(model.encoder(np.float32(images / np.float32(255) - 0.5))).reshape(-1, 3)
    indices = model.encode(images).ravel()
    gradient = np.zeros_like(table)
    np.add.at(gradient, indices, 2 * (table[indices] - z) / z.size)
    fit(model, images)
    # float32 sums of a few vectors.
    np.testing.assert_allclose(
        to_numpy(model.quantizer.embeddings), table - 0.5 * gradient, rtol=1e-4, atol=1e-6
    )
    assert same_bits(values_of(model.encoder), rest)

    other = vqvae(compile_args=with_rates(0.1, 0.0))
    rest, table = values_of(other.encoder), to_numpy(other.quantizer.embeddings)
    fit(other, images)
    assert np.array_equal(to_numpy(other.quantizer.embeddings), table)
    assert not same_bits(values_of(other.encoder), rest)


def test_equal_rates_are_one_optimizer():
    images = grey_images(8)
    found = []
    for arguments in ({"optimizer": keras.optimizers.SGD(0.1)}, with_rates(0.1, 0.1)):
        keras.utils.set_random_seed(0)
        model = vqvae(compile_args=arguments)
        found.append((fit(model, images, epochs=2), [to_numpy(w) for w in model.weights]))
    assert found[0][0] == found[1][0]
    assert same_bits(found[0][1], found[1][1])


@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_codebook_optimizer_reloads_with_its_slots(policy, tmp_path):
    keras.config.set_dtype_policy(policy)
    adam = keras.optimizers.Adam
    model = vqvae(compile_args={"optimizer": adam(1e-3), "codebook_optimizer": adam(1e-2)})
    images = grey_images(8)
    assert np.isfinite(fit(model, images)["loss"]).all()
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert same_bits(values_of(again.optimizer), values_of(model.optimizer))
    assert len(again.optimizer.variables) > 2 * len(model.trainable_variables)
    logs = [fit(m, images) for m in (model, again)]
    assert logs[0] == logs[1]
    assert same_bits([to_numpy(w) for w in again.weights], [to_numpy(w) for w in model.weights])


@pytest.mark.parametrize("jit_compile", [False, True])
def test_codebook_optimizer_trains_compiled(jit_compile):
    arguments = {**with_rates(0.0, 0.5), "run_eagerly": False, "jit_compile": jit_compile}
    model = vqvae(compile_args=arguments)
    rest, table = values_of(model.encoder), to_numpy(model.quantizer.embeddings)
    fit(model, grey_images(4))
    assert not np.array_equal(to_numpy(model.quantizer.embeddings), table)
    assert same_bits(values_of(model.encoder), rest)


def test_codebook_optimizer_needs_a_table_with_gradients():
    with pytest.raises(ValueError, match="needs a table that learns by gradient"):
        vqvae(ema_quantizer(), compile_args=with_rates(0.1, 0.1))


# -- bad batches, saving --------------------------------------------------------------------------


@pytest.mark.parametrize("quantizer", [None, ema_quantizer], ids=["gradient", "ema"])
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_bad_batch_shows_in_the_loss_and_leaves_finite_weights(quantizer, bad):
    images = grey_images(8).astype("float32")
    images[4:6] = bad  # the third batch; `fit` looks at the first one of a data set
    model = vqvae(quantizer() if quantizer else None)
    logs = fit(model, Pairs(images), batch_size=None)
    assert not np.isfinite(logs["loss"][0])
    assert float(model.quantizer.codebook.refused_batches) == 1.0
    assert all(np.isfinite(to_numpy(w)).all() for w in model.weights)
    assert np.isfinite(fit(model, grey_images(8))["loss"]).all()


def test_trap_19_a_reloaded_model_goes_on_as_the_uninterrupted_one(tmp_path):
    """With all state that there is: EMA, k-means' flag, revival, Adam's slots, the generator."""
    model = vqvae(ema_quantizer(embeddings_initializer="random_normal"))
    model.quantizer.codebook.revival.decay = 0.1  # so that codes are revived at once
    images = grey_images(8)
    fit(model, images)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    logs = [fit(m, images, epochs=2) for m in (model, again)]
    assert logs[0] == logs[1]
    assert same_bits([to_numpy(w) for w in again.weights], [to_numpy(w) for w in model.weights])


def test_checkpoint_callbacks_work(tmp_path):
    model = vqvae(ema_quantizer())
    images = grey_images(8)
    path = tmp_path / "best.keras"
    callbacks = [
        keras.callbacks.ModelCheckpoint(path, monitor="val_loss", save_best_only=True),
        keras.callbacks.EarlyStopping(monitor="val_loss", patience=1),
    ]
    logs = fit(model, images, epochs=2, validation_data=images, callbacks=callbacks)
    best = keras.models.load_model(path)
    best = best.evaluate(images, batch_size=4, verbose=0, return_dict=True)["loss"]
    assert best == pytest.approx(min(logs["val_loss"]), rel=1e-6)


# -- codes ----------------------------------------------------------------------------------------


def test_encode_and_decode_are_reconstruct():
    model = vqvae()
    images = grey_images(6)
    codes = model.encode(images, batch_size=4)
    assert (codes.shape, codes.dtype) == ((6, 2, 2), np.int32)
    assert codes.min() >= 0
    assert codes.max() < model.num_embeddings
    decoded = model.decode(codes, batch_size=4)
    assert decoded.dtype == np.float32
    # Other kernels for other graphs: the last bits of 255.
    np.testing.assert_allclose(decoded, model.reconstruct(images), atol=1e-4)


def test_export_models_equal_encode_and_decode_and_save_by_themselves(tmp_path):
    model = vqvae(ema_quantizer())
    images = grey_images(6)
    fit(model, images)
    codes = model.encode(images)
    np.testing.assert_array_equal(to_numpy(model.codes_model()(images)), codes)
    np.testing.assert_allclose(
        to_numpy(model.decoder_model()(codes)), model.decode(codes), atol=1e-4
    )
    for name, x in (("codes_model", images), ("decoder_model", codes)):
        view = getattr(model, name)()
        view.save(tmp_path / f"{name}.keras")
        again = keras.models.load_model(tmp_path / f"{name}.keras")
        np.testing.assert_allclose(to_numpy(again(x)), to_numpy(view(x)), atol=1e-4)


def test_codes_follow_training():
    model = vqvae(ema_quantizer())
    images = grey_images(8)
    model.encode(images)  # the views exist before training
    fit(model, images, epochs=2)
    fresh = models.VQVAE.from_config(model.get_config())
    fresh.build((None, 8, 8, 1))
    fresh.set_weights(model.get_weights())
    np.testing.assert_array_equal(model.encode(images), fresh.encode(images))
    np.testing.assert_allclose(
        model.decode(model.encode(images)), fresh.reconstruct(images), atol=1e-3
    )


def test_encode_takes_data_sets_of_pairs():
    model = vqvae()
    images = grey_images(4)
    np.testing.assert_array_equal(model.encode(Pairs(images)), model.encode(images))


def test_what_it_says_of_its_codes():
    model = vqvae()
    assert model.code_shape == (2, 2)
    assert model.num_embeddings == 5
    assert model.bits_per_image == pytest.approx(4 * np.log2(5))
    lazy = models.VQVAE(keras.layers.Conv2D(2, 4, 4), VectorQuantizer(5), keras.layers.Dense(1))
    for name in ("code_shape", "bits_per_image"):
        with pytest.raises(ValueError, match="before it has seen the shape"):
            getattr(lazy, name)


def test_bad_codes_are_refused():
    model = vqvae()
    good = np.zeros((1, 2, 2), "int32")
    for bad, error, message in [
        (good.astype("float32"), TypeError, "`codes` should be integers. Received: dtype float32"),
        # −1 stands for a dropped depth, and decodes to zeros.
        (good - 2, ValueError, r"`codes` should be in \[-1, 5\)"),
        (good + 5, ValueError, r"Received: values in \[5, 5\]"),
        (good[0], ValueError, r"should have shape \(batch, 2, 2\)"),
        (np.zeros((1, 3, 3), "int32"), ValueError, r"Received: shape \(1, 3, 3\)"),
    ]:
        with pytest.raises(error, match=message):
            model.decode(bad)
    assert check_codes(good.astype("uint8"), (2, 2), 5).dtype == np.int32
    assert check_codes(good - 1, (2, 2), 5, lowest=-1).min() == -1
    assert check_codes(good[:0], (2, 2), 5).shape == (0, 2, 2)


def test_fingerprint_changes_with_the_codes_and_not_with_use(tmp_path):
    model = vqvae(ema_quantizer(embeddings_initializer="random_normal"))
    images = grey_images(8)
    start = model.fingerprint()
    model.evaluate(images, verbose=0)
    model.encode(images)
    model.decoder.layers[-1].bias.assign([0.3])  # codes do not depend on the decoder
    model.quantizer.code_counts.assign_add(np.ones(5))  # a statistic
    assert model.fingerprint() == start
    fit(model, images)
    trained = model.fingerprint()
    assert trained != start
    model.save(tmp_path / "model.keras")
    assert keras.models.load_model(tmp_path / "model.keras").fingerprint() == trained
    model.quantizer.embeddings.assign(to_numpy(model.quantizer.embeddings) + 1)
    assert model.fingerprint() != trained


def test_something_that_is_no_quantizer_is_refused():
    with pytest.raises(ValueError, match="`quantizer` should be a quantizer"):
        models.VQVAE(encoder(), keras.layers.Dense(3), decoder())


# -- both backends --------------------------------------------------------------------------------

ONE_STEP = """
import keras, numpy as np, keras_vqvae
model = keras.models.load_model({path!r})
images = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 1)).astype("uint8")
for _ in range(2):
    logs = model.train_on_batch(images, return_dict=True)
    print(*(repr(float(logs[name])) for name in sorted(logs)))
print(*(repr(v) for v in sorted(model.evaluate(images, verbose=0, return_dict=True).values())))
"""


@pytest.mark.parametrize("kind", ["gradient", "ema"])
def test_tensorflow_and_jax_take_the_same_step_from_equal_weights(kind, tmp_path):
    """The design asks for equal losses to 1e-5 from one step."""
    pytest.importorskip("jax")
    pytest.importorskip("tensorflow")
    start = {"embeddings_initializer": "random_normal", "revival": None}
    quantizer = ema_quantizer(**start) if kind == "ema" else None
    arguments = {"run_eagerly": False, "optimizer": keras.optimizers.Adam(0.01)}
    if kind == "gradient":
        arguments["codebook_optimizer"] = keras.optimizers.Adam(0.1)
    model = vqvae(quantizer, compile_args=arguments)
    path = str(tmp_path / "model.keras")
    model.save(path)
    found = []
    for backend in ("tensorflow", "jax"):
        lines = run_python(ONE_STEP.format(path=path), backend).strip().splitlines()[-3:]
        found.append([[float(v) for v in line.split()] for line in lines])
    assert len(found[0][0]) == (7 if kind == "gradient" else 6)
    for a, b in zip(*found, strict=True):
        assert a == pytest.approx(b, rel=1e-5, abs=1e-6)
