import re

import keras
import numpy as np
import pytest
from support import ROOT, grey_images, made_small

from keras_vqvae import layers, likelihoods, models

TEXT = (ROOT / "docs" / "likelihoods.md").read_text(encoding="utf-8")


def test_every_likelihood_is_in_the_table():
    rows = dict(re.findall(r'^\| `"(\w+)"`, `(\w+)', TEXT, re.MULTILINE))
    classes = set(likelihoods.__all__) - {"Likelihood", "get"}
    assert set(rows.values()) == classes
    for name, cls in rows.items():
        assert type(likelihoods.get(name)).__name__ == cls


def test_the_networks_of_the_docs_train_and_are_sampled():
    section = TEXT[TEXT.index("## Your own networks") : TEXT.index("## How exact")]
    code = "".join(re.findall(r"```python\n(.*?)```", section, re.DOTALL))
    small = {
        "(32, 32, 3)": "(8, 8, 3)",
        "(8, 8, 16)": "(2, 2, 16)",
        "(vqvae.code_shape, vqvae.num_embeddings)": "(vqvae.code_shape, 512, filters=4, blocks=1)",
        "(20, 20)": "(1, 1)",
        "sample(16)": "sample(2)",
    }
    code = made_small(code, small)
    names = {"keras": keras, "layers": layers, "likelihoods": likelihoods, "models": models}
    exec(code, {**names, "images": grey_images(4, channels=3)}, names)
    assert names["new_images"].shape == (2, 8, 8, 3)
    rates = [o.learning_rate for o in names["vqvae"].optimizer.optimizers]
    assert sorted(map(float, rates)) == pytest.approx([1e-3, 1e-2])


@pytest.mark.parametrize("likelihood", ["gaussian", "gaussian_with_scale", "discretized_logistic"])
def test_locations_are_images_as_the_encoder_sees_them(likelihood):
    likelihood = likelihoods.get(likelihood)
    z = keras.Input((1, 3, 1))
    narrow = keras.ops.full_like(z, -12.0)  # the second number, if there is one
    outputs = keras.ops.concatenate([z, narrow], axis=-1)[..., : likelihood.num_parameters(1)]
    model = models.Autoencoder(keras.layers.Identity(), keras.Model(z, outputs), likelihood)
    images = np.array([0.0, 64.0, 255.0], "float32").reshape(1, 1, 3, 1)
    model.build(images.shape)
    np.testing.assert_allclose(model.encode(images).ravel(), [-0.5, 64 / 255 - 0.5, 0.5], atol=1e-6)
    # clipped to black and white, the mean of a narrow distribution at 0 is a little above 0
    np.testing.assert_allclose(model.reconstruct(images), images, atol=0.1)
