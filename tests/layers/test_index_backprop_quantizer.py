import keras
import numpy as np
import pytest
from support import gradients, grey_images, normal, set_table, to_numpy

from keras_vqvae import models
from keras_vqvae.codebooks import KMeans
from keras_vqvae.layers import IndexBackpropQuantizer


def softmax(a):
    e = np.exp(a - a.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def with_table(table, **options):
    return set_table(IndexBackpropQuantizer(len(table), **options), table)


def entropy_of(p):
    return -(p * np.log(np.where(p > 0, p, 1.0))).sum(-1)


def entropy_loss(logits, temperature, gamma):
    p = softmax(logits.astype("float64") / temperature)
    return entropy_of(p).mean() - gamma * entropy_of(p.mean(0))


def losses_of(out):
    return {name: float(value) for name, value in out.losses.items()}


def test_it_is_brute_force():
    table, x = normal((5, 3), 1), normal((20, 3))
    layer = with_table(
        table, beta=0.5, entropy_weight=0.2, diversity_weight=0.7, entropy_temperature=0.3
    )
    logits = x @ table.T
    codes = table[logits.argmax(-1)]
    out = layer.discretize(x)
    np.testing.assert_array_equal(to_numpy(out.indices), logits.argmax(-1))
    np.testing.assert_array_equal(to_numpy(out.quantized), codes)
    error = np.mean((x - codes) ** 2)
    assert losses_of(out) == pytest.approx(
        {
            "quantization_loss": error,
            "codebook_loss": error,
            "commitment_loss": 0.5 * error,
            "entropy_loss": 0.2 * entropy_loss(logits, 0.3, 0.7),
        },
        rel=1e-4,
    )


def test_without_a_weight_there_is_no_entropy_loss():
    layer = with_table(normal((5, 3)))
    assert layer.loss_names == ("quantization_loss", "codebook_loss", "commitment_loss")


def test_the_output_gives_every_code_a_gradient():
    """Trap 28. The chosen ones get dL/dq itself, all of them what comes through the softmax."""
    table, x, g = normal((5, 3), 1), normal((4, 3)), normal((4, 3), 2)
    layer = with_table(table)
    by_x, (by_table,) = gradients(
        lambda x: keras.ops.sum(layer.discretize(x).quantized * g), x, [layer.embeddings]
    )
    p, by_p = softmax(x @ table.T), g @ table.T
    by_logits = p * (by_p - (p * by_p).sum(-1, keepdims=True))
    np.testing.assert_allclose(by_x, by_logits @ table, rtol=1e-4, atol=1e-6)
    expected = by_logits.T @ x  # through p, to all codes
    np.add.at(expected, (x @ table.T).argmax(-1), g)  # through the choice, to the chosen ones
    np.testing.assert_allclose(by_table, expected, rtol=1e-4, atol=1e-6)
    assert (np.abs(by_table).max(-1) > 0).all()


def test_the_quantization_loss_passes_through_the_choice_and_the_vectors():
    table, x = normal((5, 3), 1), normal((4, 3))
    layer = with_table(table)
    by_x, (by_table,) = gradients(
        lambda x: layer.discretize(x).losses["quantization_loss"], x, [layer.embeddings]
    )
    logits = x @ table.T
    p, error = softmax(logits), 2 * (x - table[logits.argmax(-1)]) / x.size
    by_p = -error @ table.T
    by_logits = p * (by_p - (p * by_p).sum(-1, keepdims=True))
    np.testing.assert_allclose(by_x, error + by_logits @ table, rtol=1e-4, atol=1e-6)
    assert (np.abs(by_table).max(-1) > 0).all()


def test_trap_1_beta_is_on_the_commitment_term():
    table, x, found = normal((5, 3), 1), normal((20, 3)), {}
    for beta in (0.25, 1.0):
        layer = with_table(table, beta=beta)
        for name in ("codebook_loss", "commitment_loss"):
            found[name, beta] = gradients(
                lambda x, q=layer, n=name: q.discretize(x).losses[n], x, [layer.embeddings]
            )
    by_x, (by_table,) = found["commitment_loss", 1.0]
    np.testing.assert_allclose(by_x, 4 * found["commitment_loss", 0.25][0], rtol=1e-5)
    assert not by_table.any()
    by_x, (by_table,) = found["codebook_loss", 1.0]
    assert not by_x.any()  # trap 2
    np.testing.assert_array_equal(by_table, found["codebook_loss", 0.25][1][0])
    assert by_table.any()


def test_trap_17_descending_the_entropy_loss_makes_codes_sure_and_all_used():
    # The corners of a tetrahedron: any of them can be the most likely one.
    table = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]], "float32")
    x = normal((32, 3), scale=0.1)
    layer = with_table(table, entropy_weight=1.0, entropy_temperature=0.5)
    for _ in range(60):
        by_x, _ = gradients(lambda x: layer.discretize(x).losses["entropy_loss"], x)
        x = x - 2.0 * by_x
    p = softmax(x @ table.T / 0.5)
    assert entropy_of(p).mean() < 0.5 * np.log(4)
    assert entropy_of(p.mean(0)) > 0.9 * np.log(4)
    assert len(np.unique(to_numpy(layer.encode(x)))) == 4


def test_the_entropies_are_those_of_the_valid_rows():
    table, x = normal((5, 3), 1), normal((6, 3))
    layer = with_table(table, entropy_weight=1.0, entropy_temperature=0.3)
    mask = np.array([1, 0, 1, 1, 0, 0], bool)
    masked = losses_of(layer.discretize(x, mask=mask))["entropy_loss"]
    assert masked == pytest.approx(entropy_loss(x[mask] @ table.T, 0.3, 1.0), rel=1e-4)


def test_a_start_from_data_is_one_from_valid_vectors():
    layer = IndexBackpropQuantizer(4, embeddings_initializer=KMeans(0), seed=0)
    layer.build((None, 3))
    x, mask = normal((12, 3)), np.arange(12) % 3 == 0  # four, one for each code
    layer.discretize(x, training=True, mask=mask)
    np.testing.assert_array_equal(to_numpy(layer.embeddings), x[mask])


def test_it_trains_in_a_vqvae():
    model = models.VQVAE(
        models.convolutional_encoder((8, 8, 1), embedding_dim=3, widths=(4,)),
        IndexBackpropQuantizer(5, entropy_weight=0.05),
        models.convolutional_decoder((8, 8, 1), embedding_dim=3, widths=(4,)),
    )
    model.compile("adam", run_eagerly=keras.backend.backend() == "tensorflow")
    logs = model.fit(grey_images(4), verbose=0).history
    assert set(model.quantizer.loss_names) | {"perplexity"} <= set(logs)
    assert np.isfinite(logs["loss"]).all()


def test_arguments_are_checked():
    for name in ("beta", "entropy_weight", "diversity_weight"):
        with pytest.raises(ValueError, match=f"`{name}` should be ≥ 0"):
            IndexBackpropQuantizer(4, **{name: -1.0})
    with pytest.raises(ValueError, match="`entropy_temperature` should be > 0"):
        IndexBackpropQuantizer(4, entropy_temperature=0.0)
