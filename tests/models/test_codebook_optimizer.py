"""A learning rate of its own for the table."""

import keras
import numpy as np
import pytest
from models_for_tests import ema_quantizer, fit, vqvae, with_rates
from support import grey_images, same_bits, to_numpy, values_of


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


@pytest.mark.parametrize("which", ["optimizer", "codebook_optimizer"])
def test_optimizers_that_scale_the_loss_are_refused(which):
    arguments = with_rates(0.1, 0.1)
    arguments[which] = keras.optimizers.LossScaleOptimizer(arguments[which])
    with pytest.raises(ValueError, match=rf"should scale no loss.*{which}=loss_scale"):
        vqvae(compile_args=arguments)
    half = vqvae(compile_args=with_rates(0.1, 0.1), dtype="mixed_float16")
    assert isinstance(half.optimizer, keras.optimizers.LossScaleOptimizer)


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
