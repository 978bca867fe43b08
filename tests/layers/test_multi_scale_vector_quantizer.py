import keras
import numpy as np
import pytest
from support import gradients, grey_images, normal, same_bits, to_numpy, train_often, values_of

from keras_vqvae import codebooks, models
from keras_vqvae.layers import CodeLookup, MultiScaleVectorQuantizer, QuantizeDropout
from keras_vqvae.ops import cubic_matrix

SCALES = ((1, 1), (2, 2), (3, 4))


def built(**options):
    layer = MultiScaleVectorQuantizer(6, SCALES, seed=1, **options)
    layer.build((None, 3, 4, 2))
    layer.embeddings.assign(normal((6, 2), 5))
    for i, convolution in enumerate(layer.convolutions):
        convolution.bias.assign(normal((2,), 20 + i, scale=0.1))
    return layer


def area(x, height, width):
    """Means over bins, one output at a time."""
    out = np.zeros((len(x), height, width, x.shape[-1]))
    for i in range(height):
        for j in range(width):
            rows = slice(i * 3 // height, int(np.ceil((i + 1) * 3 / height)))
            columns = slice(j * 4 // width, int(np.ceil((j + 1) * 4 / width)))
            out[:, i, j] = x[:, rows, columns].mean((1, 2))
    return out


def convolve(x, kernel, bias):
    padded = np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)])
    out = np.zeros_like(x) + bias
    for i in range(3):
        for j in range(3):
            out += padded[:, i : i + 3, j : j + 4] @ kernel[i, j]
    return out


def brute_force(layer, x, ratio=0.5):
    """The sums so far after each scale, and the indices of each."""
    table, sums, indices = to_numpy(layer.embeddings), [np.zeros_like(x)], []
    for s, (height, width) in enumerate(SCALES):
        small = area(x - sums[-1], height, width).reshape(-1, 2)
        index = ((small[:, None] - table) ** 2).sum(-1).argmin(-1)
        grid = table[index].reshape(-1, height, width, 2)
        grid = np.einsum("ih,bhwd,jw->bijd", cubic_matrix(height, 3), grid, cubic_matrix(width, 4))
        convolution = layer.convolutions[s * len(layer.convolutions) // 3]
        smooth = convolve(grid, to_numpy(convolution.kernel), to_numpy(convolution.bias))
        sums.append(sums[-1] + (1 - ratio) * grid + ratio * smooth)
        indices.append(index.reshape(len(x), -1))
    return sums[1:], np.concatenate(indices, -1)


def losses_of(out):
    return {name: float(value) for name, value in out.losses.items()}


@pytest.mark.parametrize("options", [{}, {"num_convolutions": 2, "residual_ratio": 0.25}])
def test_it_is_brute_force(options):
    layer, x = built(beta=0.5, **options), normal((4, 3, 4, 2))
    sums, indices = brute_force(layer, x, options.get("residual_ratio", 0.5))
    out = layer.discretize(x)
    np.testing.assert_array_equal(to_numpy(out.indices), indices)
    np.testing.assert_allclose(to_numpy(out.quantized), sums[-1], rtol=1e-4, atol=1e-5)
    error = np.mean([np.mean((x - f) ** 2) for f in sums])
    assert losses_of(out) == pytest.approx(
        {"codebook_loss": error, "commitment_loss": 0.5 * error}, rel=1e-4
    )


def test_decode_of_encode_is_the_output_to_the_last_bit():
    layer, x = built(), normal((4, 3, 4, 2))
    indices = layer.encode(x)
    assert tuple(indices.shape) == (4, 1 + 4 + 12) == layer.indices_shape(x.shape)
    np.testing.assert_array_equal(to_numpy(layer.decode(indices)), to_numpy(layer(x)))


def test_the_inputs_of_the_next_scale_are_the_sums_so_far_in_its_size():
    layer, x = built(), normal((5, 3, 4, 2))
    sums, indices = brute_force(layer, x)
    expected = [area(sums[s], *SCALES[s + 1]).reshape(5, -1, 2) for s in (0, 1)]
    whole = to_numpy(layer.next_scale_inputs(indices))
    assert whole.dtype == "float32"
    np.testing.assert_allclose(whole, np.concatenate(expected, 1), atol=1e-6)
    # As codes are drawn, scale by scale; the last scale's own codes are before nothing.
    np.testing.assert_array_equal(to_numpy(layer.next_scale_inputs(indices[:, :1])), whole[:, :4])
    np.testing.assert_array_equal(to_numpy(layer.next_scale_inputs(indices[:, :5])), whole)
    assert to_numpy(layer.next_scale_inputs(indices[:0])).shape == (0, 16, 2)


def test_the_inputs_of_the_next_scale_are_of_whole_scales():
    layer = built()
    for shape in ((2, 2), (2, 18), (5,), (2, 0)):
        with pytest.raises(ValueError, match=r"n one of \[1, 5, 17\].*Received: shape"):
            layer.next_scale_inputs(np.zeros(shape, "int32"))
    with pytest.raises(ValueError, match="not built"):
        MultiScaleVectorQuantizer(4, (1, 2)).next_scale_inputs(np.zeros((1, 1), "int32"))
    one = MultiScaleVectorQuantizer(4, (2,))
    one.build((None, 2, 2, 3))
    with pytest.raises(ValueError, match="has one scale"):
        one.next_scale_inputs(np.zeros((1, 4), "int32"))


def test_minus_one_leaves_the_finer_scales_out():
    layer, x = built(), normal((4, 3, 4, 2))
    sums, indices = brute_force(layer, x)
    for kept, expected in zip((1, 5, 17), sums, strict=True):
        coarse = np.where(np.arange(17) < kept, indices, -1)
        np.testing.assert_allclose(to_numpy(layer.decode(coarse)), expected, rtol=1e-4, atol=1e-5)
    assert not to_numpy(layer.decode(np.full((2, 17), -1))).any()


def test_traps_1_and_2_each_loss_moves_its_own_side():
    x, weights = normal((4, 3, 4, 2)), None
    for beta in (0.25, 1.0):
        layer = built(beta=beta)
        by_x, by_weights = gradients(
            lambda x, q=layer: q.discretize(x).losses["codebook_loss"], x, layer.trainable_weights
        )
        assert not by_x.any()
        assert len(by_weights) == 1 + 2 * 3
        assert all(g.any() for g in by_weights)
        weights = by_weights if weights is None else weights
        assert same_bits(by_weights, weights)
        by_x, by_weights = gradients(
            lambda x, q=layer: q.discretize(x).losses["commitment_loss"], x, layer.trainable_weights
        )
        # β/3 Σ_s mean (x − f_s)²
        expected = beta / 3 * sum(2 * (x - f) / x.size for f in brute_force(layer, x)[0])
        np.testing.assert_allclose(by_x, expected, rtol=1e-3, atol=1e-6)
        assert not any(g.any() for g in by_weights)


def test_the_gradient_passes_straight_through():
    layer, x, weights = built(), normal((2, 3, 4, 2)), normal((2, 3, 4, 2), 1)
    by_x, _ = gradients(lambda x: keras.ops.sum(layer(x) * weights), x)
    np.testing.assert_array_equal(by_x, weights)


def test_trap_9_evaluation_changes_nothing_and_training_counts_all_scales():
    layer, x = built(), normal((4, 3, 4, 2))
    before = values_of(layer)
    layer(x), layer.encode(x)
    assert same_bits(values_of(layer), before)
    train_often(layer, x, 2)
    counts = to_numpy(layer.code_counts)
    assert counts.sum() == 2 * 4 * 17
    np.testing.assert_array_equal(
        counts, 2 * np.bincount(to_numpy(layer.encode(x)).ravel(), minlength=6)
    )


def test_kmeans_starts_from_the_vectors():
    layer = MultiScaleVectorQuantizer(4, SCALES, embeddings_initializer="kmeans", seed=1)
    x = normal((8, 3, 4, 2), scale=10.0)
    layer(x, training=True)
    assert np.abs(to_numpy(layer.embeddings)).max() > 3.0


SCALE_OF_INDEX = np.repeat([0, 1, 2], [1, 4, 12])


@pytest.mark.parametrize("per", ["batch", "sample"])
def test_dropped_scales_are_minus_one_and_cost_nothing(per):
    layer, x = built(beta=0.5, dropout=per), normal((6, 3, 4, 2))
    sums, whole = brute_force(layer, x)
    seen = set()
    for _ in range(12):
        counted = to_numpy(layer.code_counts)
        out = layer.discretize(x, training=True)
        indices = to_numpy(out.indices)
        kept = np.array([len(np.unique(SCALE_OF_INDEX[row >= 0])) for row in indices])
        assert per == "sample" or len(set(kept)) == 1
        used = kept[:, None] > SCALE_OF_INDEX
        np.testing.assert_array_equal(indices, np.where(used, whole, -1))
        expected = np.stack([sums[n - 1][i] for i, n in enumerate(kept)])
        np.testing.assert_allclose(to_numpy(out.quantized), expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(to_numpy(out.quantized), to_numpy(layer.decode(indices)))
        of_scale = [(x - f)[kept > s] for s, f in enumerate(sums)]
        error = sum(np.mean(e**2) for e in of_scale if e.size) / 3
        assert losses_of(out) == pytest.approx(
            {"codebook_loss": error, "commitment_loss": 0.5 * error}, rel=1e-4
        )
        np.testing.assert_array_equal(
            to_numpy(layer.code_counts) - counted, np.bincount(whole[used], minlength=6)
        )
        seen |= set(kept.tolist())
    assert seen == {1, 2, 3}
    np.testing.assert_array_equal(to_numpy(layer.encode(x)), whole)  # evaluation uses all


def test_an_ema_table_follows_the_vectors_of_all_scales_that_are_used():
    dropout = QuantizeDropout("sample", minimum=2)
    layer = built(update=codebooks.EMAUpdate(0.9), dropout=dropout)
    x, table = normal((5, 3, 4, 2)), to_numpy(layer.embeddings).copy()
    sums, whole = brute_force(layer, x)
    residuals = [x, *(x - f for f in sums[:-1])]
    vectors = [area(r, *hw).reshape(5, -1, 2) for r, hw in zip(residuals, SCALES, strict=True)]
    vectors = np.concatenate(vectors, 1)
    indices = to_numpy(layer.discretize(x, training=True).indices)
    used = indices >= 0
    assert 0 < (~used).sum() < used.size
    # The first vectors have their full weight.
    chosen = [vectors[used & (whole == k)] for k in range(6)]
    assert sum(map(len, chosen)) == used.sum()
    expected = [v.mean(0) if len(v) else e for v, e in zip(chosen, table, strict=True)]
    np.testing.assert_allclose(to_numpy(layer.embeddings), expected, rtol=2e-4, atol=1e-5)
    assert not layer.learns_by_gradient
    # The convolutions learn on, the table is out of reach of an optimizer.
    assert {w.path.split("/")[-2] for w in layer.trainable_weights} == {
        f"convolution_{i}" for i in range(3)
    }


def test_unused_codes_are_replaced():
    layer = built(update="ema", revival=codebooks.ReplaceUnused(after_steps=2))
    far = to_numpy(layer.embeddings).copy()
    far[4] = 1e3
    layer.embeddings.assign(far)
    train_often(layer, normal((4, 3, 4, 2)), 3)
    assert np.abs(to_numpy(layer.embeddings)).max() < 10


def test_frozen_it_learns_nothing():
    layer = built(update="ema", trainable=False)
    assert not any(part.trainable for part in layer._flatten_layers())
    before = values_of(layer)
    layer(normal((4, 3, 4, 2)), training=True)
    assert same_bits(values_of(layer), before)


def test_trap_14_mixed_precision_chooses_the_same_codes():
    x = to_numpy(keras.ops.cast(keras.ops.cast(normal((4, 3, 4, 2)), "bfloat16"), "float32"))
    full, mixed = built(), built(dtype="mixed_bfloat16")
    quantized, indices = mixed(x, return_indices=True)
    np.testing.assert_array_equal(to_numpy(indices), to_numpy(full.encode(x)))
    assert keras.backend.standardize_dtype(quantized.dtype) == "bfloat16"
    assert [float(loss) for loss in mixed.losses] == list(losses_of(full.discretize(x)).values())


def test_in_a_vqvae_an_image_is_one_sequence_of_codes(tmp_path):
    model = models.VQVAE(
        models.convolutional_encoder((8, 8, 1), embedding_dim=3, widths=(4,)),
        MultiScaleVectorQuantizer(8, (1, 2, 4)),
        models.convolutional_decoder((8, 8, 1), embedding_dim=3, widths=(4,)),
    )
    model.compile("adam", codebook_optimizer="sgd")
    images = grey_images(4)
    logs = model.fit(images, validation_data=images, verbose=0).history
    assert {"codebook_loss", "perplexity", "val_perplexity"} <= set(logs)
    codes = model.encode(images)
    assert codes.shape == (4, 21)
    assert model.code_shape == (21,)
    assert model.bits_per_image == 21 * 3
    np.testing.assert_allclose(model.decode(codes), model.reconstruct(images), atol=1e-3)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again.encode(images), codes)
    with pytest.raises(ValueError, match=r"`code_shape` should be \(height, width\)"):
        models.PixelCNN(model.code_shape, model.num_embeddings)


def test_a_decoder_of_indices_alone_is_saved_and_cloned(tmp_path):
    indices = keras.Input((17,), dtype="int32")
    quantizer = MultiScaleVectorQuantizer(6, SCALES, embedding_dim=2, seed=1)
    decoder = keras.Model(indices, CodeLookup(quantizer)(indices))
    assert decoder.output_shape == (None, 3, 4, 2)
    codes = np.arange(34).reshape(2, 17) % 6
    expected = to_numpy(decoder(codes))
    decoder.save(tmp_path / "decoder.keras")
    loaded = keras.models.load_model(tmp_path / "decoder.keras")
    np.testing.assert_array_equal(to_numpy(loaded(codes)), expected)
    assert keras.models.clone_model(decoder).output_shape == (None, 3, 4, 2)


@pytest.mark.parametrize("name", ["sequence", "volume"])
def test_sequences_and_volumes_are_grids_of_another_rank(name):
    """A sequence is a grid of width 1, and a grid is a volume of depth 1."""
    if name == "sequence":
        scales, as_grids = ((1,), (3,), (5,)), ((1, 1), (3, 1), (5, 1))
    else:
        scales, as_grids = tuple((1, *scale) for scale in SCALES), SCALES
    grid, other = (MultiScaleVectorQuantizer(6, s, seed=1) for s in (as_grids, scales))
    x, as_grid = (normal((4, *s[-1], 2)) for s in (scales, as_grids))
    for layer, inputs in ((grid, as_grid), (other, x)):
        layer.build(inputs.shape)
        layer.embeddings.assign(normal((6, 2), 5))
    for theirs, ours in zip(grid.convolutions, other.convolutions, strict=True):
        kernel, taps = np.zeros(ours.kernel.shape, "float32"), to_numpy(theirs.kernel)
        if name == "sequence":
            kernel[:] = taps[:, 1]
        else:
            kernel[1] = taps
        ours.kernel.assign(kernel)
    expected, found = grid.discretize(as_grid), other.discretize(x)
    np.testing.assert_array_equal(to_numpy(found.indices), to_numpy(expected.indices))
    values = to_numpy(expected.quantized).reshape(x.shape)
    np.testing.assert_allclose(to_numpy(found.quantized), values, atol=1e-5)
    assert losses_of(found) == pytest.approx(losses_of(expected), rel=1e-4)
    np.testing.assert_array_equal(to_numpy(other.decode(found.indices)), to_numpy(other(x)))
    inputs = to_numpy(other.next_scale_inputs(found.indices))
    of_grids = to_numpy(grid.next_scale_inputs(expected.indices))
    np.testing.assert_allclose(inputs, of_grids, atol=1e-5)
    assert tuple(other.decode(found.indices[:1]).shape) == (1, *x.shape[1:])


def test_scales_may_be_arrays():
    for scales in (np.array(SCALES), [np.array(scale) for scale in SCALES]):
        assert MultiScaleVectorQuantizer(6, scales).scales == SCALES
    assert MultiScaleVectorQuantizer(6, np.array([1, 2])).scales == ((1, 1), (2, 2))


def test_what_it_cannot_take_is_refused():
    layer = built()
    with pytest.raises(ValueError, match="takes no mask"):
        layer.discretize(normal((2, 3, 4, 2)), mask=np.ones((2, 3, 4), bool))
    with pytest.raises(ValueError, match=r"expects grids \(batch, 3, 4, D\)"):
        MultiScaleVectorQuantizer(4, SCALES)(normal((2, 4, 4, 2)))
    for wrong in (normal((2, 5, 5, 2)), normal((4, 4, 2))):
        for method in (layer, layer.encode):
            with pytest.raises(ValueError, match=r"expects grids \(batch, 3, 4, D\)"):
                method(wrong)
    with pytest.raises(ValueError, match=r"expects grids"):
        MultiScaleVectorQuantizer(4, SCALES)(normal((2, 4, 2)))
    with pytest.raises(ValueError, match=r"not built yet.* before `discretize`"):
        MultiScaleVectorQuantizer(4, SCALES).discretize(normal((2, 3, 4, 2)))
    for wrong in ((2, 16), (17,)):
        with pytest.raises(ValueError, match=r"should have shape \(batch, 17\)"):
            layer.decode(np.zeros(wrong, int))
    for wrong in ((16,), (4, 4), (None,)):
        with pytest.raises(ValueError, match=r"should have shape \(batch, 17\)"):
            CodeLookup(layer)(keras.Input(wrong, dtype="int32"))


def test_arguments_are_checked():
    no_integers = (4, "12", b"12", (), (0, 2), (1.5,))
    no_order = ((2, 1), ((4, 1), (3, 2)))
    no_one_rank = (((1, 2), (1, 2, 3)), ((1, 2), (2,)), ((1,) * 4,))
    for wrong in (*no_integers, *no_order, *no_one_rank):
        with pytest.raises(ValueError, match="`scales` should be positive integers"):
            MultiScaleVectorQuantizer(4, wrong)
    with pytest.raises(ValueError, match="`residual_ratio` should be in"):
        MultiScaleVectorQuantizer(4, (1, 2), residual_ratio=1.5)
    with pytest.raises(
        ValueError, match="`num_convolutions` should be a positive integer of at most 2, the number"
    ):
        MultiScaleVectorQuantizer(4, (1, 2), num_convolutions=3)
    with pytest.raises(ValueError, match="`beta` should be ≥ 0"):
        MultiScaleVectorQuantizer(4, (1, 2), beta=-1.0)
    with pytest.raises(ValueError, match=r"`minimum` of the dropout.*2, the number of scales"):
        MultiScaleVectorQuantizer(4, (1, 2), dropout=QuantizeDropout(minimum=3))
