"""Trap 21. Two replicas end with the weights that one device would have had."""

import json

import numpy as np
import pytest
from support import run_python

pytestmark = pytest.mark.tensorflow_only

# Eight images on one device, or four on each of two: the same sums, the same means.
SCRIPT = """
import json
import keras, numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from keras_vqvae import codebooks, layers, models

# One for all: the collectives of a second MirroredStrategy in a process clash with the first one's.
mirrored = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])

def run(strategy, **options):
    keras.utils.set_random_seed(0)
    with strategy.scope():
        model = models.VQVAE(
            keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Conv2D(2, 4, 4)]),
            layers.VectorQuantizer(4, seed=1, **options),
            keras.Sequential([keras.Input((2, 2, 2)), keras.layers.Conv2DTranspose(1, 4, 4)]),
        )
        model.compile(keras.optimizers.SGD(0.1))
    images = np.random.default_rng(0).integers(0, 256, (16, 8, 8, 1)).astype("uint8")
    logs = model.fit(images, batch_size=8, epochs=2, shuffle=False, verbose=0).history
    evaluation = model.evaluate(images, batch_size=8, verbose=0, return_dict=True)
    spread = 0.0
    for variable in model.weights:
        copies = [np.asarray(v) for v in getattr(variable.value, "values", [variable.value])]
        spread = max(spread, *(float(np.abs(c - copies[0]).max()) for c in copies))
    return {
        "weights": [np.asarray(w).tolist() for w in model.get_weights()],
        "logs": logs,
        "evaluation": evaluation,
        "spread": spread,
    }

ema = codebooks.EMAUpdate(0.9)
start = {"embeddings_initializer": "random_normal"}
revive = {"revival": codebooks.ReplaceDead(threshold=0.9, decay=0.1)}
kinds = {
    "gradient": start,
    "ema": {"update": ema, **start},
    "ema_kmeans": {"update": ema, "embeddings_initializer": "kmeans"},
    "cvq": {"update": ema, "revival": codebooks.AnchorRevival(0.5), **start},
    "affine": {"update": codebooks.AffineUpdate(0.9, 0.5), **start},
    "revival": {"update": ema, "embeddings_initializer": "kmeans", **revive},
}
both = {"one": tf.distribute.get_strategy(), "two": mirrored}
found = {
    kind: {name: run(strategy, **options) for name, strategy in both.items()}
    for kind, options in kinds.items()
}
print(json.dumps(found))
"""


@pytest.fixture(scope="module")
def found():
    # In a process of its own: devices are made before TensorFlow starts.
    return json.loads(run_python(SCRIPT).splitlines()[-1])


@pytest.mark.parametrize("kind", ["gradient", "ema", "ema_kmeans", "cvq", "affine"])
def test_two_replicas_are_one_device(found, kind):
    one, two = found[kind]["one"], found[kind]["two"]
    assert two["spread"] == 0.0  # all copies of a weight are equal
    for a, b in zip(one["weights"], two["weights"], strict=True):
        # The same sums in another order, through four steps.
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    for part in ("logs", "evaluation"):
        assert set(one[part]) == set(two[part])
        for name in one[part]:
            if name != "gradient_norm":  # a mean of what the replicas see, each half of the batch
                np.testing.assert_allclose(
                    one[part][name], two[part][name], rtol=1e-4, err_msg=name
                )


def test_revival_gives_all_replicas_the_same_table(found):
    # Not that of one device: each replica offers vectors of its own half.
    two = found["revival"]["two"]
    assert two["spread"] == 0.0
    assert np.isfinite(two["logs"]["loss"]).all()
    assert two["logs"]["codebook_usage"][-1] > 0.5
