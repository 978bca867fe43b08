"""Trap 21. Two replicas end with the weights that one device would have had."""

import json

import numpy as np
import pytest
from support import run_python

pytestmark = pytest.mark.tensorflow_only

# Eight images on one device, or four on each of two: the same sums, the same means.
START = """
import json
import keras, numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from keras_vqvae import callbacks, codebooks, layers, models

# One for all: the collectives of a second MirroredStrategy in a process clash with the first one's.
mirrored = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
start = {"embeddings_initializer": "random_normal"}
entropy = {"entropy_weight": 1.0, "diversity_weight": 2.0}
signs = {"temperature": 1.0, "entropy_group_bits": 1, **entropy}
lfq = lambda: layers.LookupFreeQuantizer(2, **signs)
both = {"one": tf.distribute.get_strategy(), "two": mirrored}
"""

TRAINING = """
def run(strategy, quantizer):
    keras.utils.set_random_seed(0)
    with strategy.scope():
        model = models.VQVAE(
            keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Conv2D(2, 4, 4)]),
            quantizer(),
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
revive = {"revival": codebooks.ReplaceDead(threshold=0.9, decay=0.1)}
tables = {
    "gradient": start,
    "ema": {"update": ema, **start},
    "ema_kmeans": {"update": ema, "embeddings_initializer": "kmeans"},
    "cvq": {"update": ema, "revival": codebooks.AnchorRevival(0.5), **start},
    "transport": {"update": ema, "assignment": "optimal_transport", **start},
    "affine": {"update": codebooks.AffineUpdate(0.9, 0.5), **start},
    "revival": {"update": ema, "embeddings_initializer": "kmeans", **revive},
}
kinds = {
    name: lambda options=options: layers.VectorQuantizer(4, seed=1, **options)
    for name, options in tables.items()
}
kinds["lfq"] = lfq
found = {
    kind: {name: run(strategy, kinds[kind]) for name, strategy in both.items()}
    for kind in KINDS
}
"""

PLAIN = """
# A model of Keras's own, with the callback that reads counts.
def plain(strategy):
    keras.utils.set_random_seed(0)
    with strategy.scope():
        quantizer = layers.VectorQuantizer(4, seed=1, **tables["ema"])
        model = keras.Sequential([keras.Input((3, 2)), keras.layers.Dense(2), quantizer])
        model.compile(keras.optimizers.SGD(0.1), "mse")
    x = np.random.default_rng(0).normal(size=(16, 3, 2)).astype("float32")
    watch = callbacks.CodebookMetrics(validation_data=x)
    options = {"batch_size": 8, "epochs": 2, "shuffle": False, "verbose": 0}
    return model.fit(x, x, callbacks=[watch], **options).history

found["plain"] = {name: plain(strategy) for name, strategy in both.items()}
"""

UNEVEN = """
# Nine in batches of four: of the last one, a replica has none.
def uneven(strategy):
    keras.utils.set_random_seed(0)
    images = np.random.default_rng(0).integers(0, 256, (9, 8, 8, 1)).astype("uint8")
    codes = np.random.default_rng(1).integers(0, 4, (9, 2, 2))
    encoder = lambda dim: keras.Sequential(
        [keras.Input((8, 8, 1)), keras.layers.Conv2D(dim, 4, 4)]
    )
    decoder = lambda: keras.Sequential(
        [keras.Input((2, 2, 2)), keras.layers.Conv2DTranspose(1, 4, 4)]
    )
    with strategy.scope():
        trained = {
            "vae": (models.VAE(encoder(4), decoder()), images),
            "prior": (models.PixelCNN((2, 2), 4, filters=4, residual_blocks=1), codes),
        }
        for model, _ in trained.values():
            model.compile(keras.optimizers.SGD(0.0))
    options = {"batch_size": 4, "verbose": 0}
    return {
        name: {
            "logs": model.fit(x, shuffle=False, epochs=2, **options).history,
            "evaluation": model.evaluate(x, return_dict=True, **options),
        }
        for name, (model, x) in trained.items()
    }

# NaN in the half of the second batch that the second of two replicas gets.
def broken(strategy, optimizer):
    keras.utils.set_random_seed(0)
    images = np.random.default_rng(0).random((16, 8, 8, 1)).astype("float32")
    images[12] = np.nan
    batches = tf.data.Dataset.from_tensor_slices(images).batch(8)
    with strategy.scope():
        encoder = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Conv2D(2, 4, 4)])
        decoder = keras.Sequential([keras.Input((2, 2, 2)), keras.layers.Conv2DTranspose(1, 4, 4)])
        model = models.Autoencoder(encoder, decoder, value_range=(0.0, 1.0))
        model.compile(optimizer())
    start = model.get_weights()
    model.fit(batches.take(1), verbose=0)
    after_one = model.get_weights()
    model.set_weights(start)
    model.fit(batches, verbose=0)
    moved = zip(after_one, model.get_weights())
    scale = getattr(model.optimizer, "dynamic_scale", tf.Variable(1.0)).numpy()
    learned = max(float(np.abs(a - b).max()) for a, b in zip(start, after_one))
    return max(float(np.abs(a - b).max()) for a, b in moved), float(scale), learned > 0

def with_loss_scale():
    sgd = keras.optimizers.SGD(0.1)
    return keras.optimizers.LossScaleOptimizer(sgd, initial_scale=16.0)

found["broken"] = {
    name: [broken(strategy, lambda: keras.optimizers.SGD(0.1)), broken(strategy, with_loss_scale)]
    for name, strategy in both.items()
}
found["uneven"] = {name: uneven(strategy) for name, strategy in both.items()}
"""

LOSSES = """

# Losses alone, of vectors divided among replicas.
diverse = {"regularizer": codebooks.Diversity(1.0, 0.5), **start}
quantizers = {
    "diversity": lambda: layers.VectorQuantizer(4, seed=1, **diverse),
    "lfq": lfq,
    "bsq": lambda: layers.BinarySphericalQuantizer(2, **signs),
    "fsp": lambda: layers.FiniteScalarPerturbation((3, 4)),
    "ibq": lambda: layers.IndexBackpropQuantizer(
        4, seed=1, entropy_temperature=1.0, **entropy, **start
    ),
}
z = np.random.default_rng(1).normal(size=(8, 2)).astype("float32")

def of_rows(layer, x, mask, replicas):
    with tf.GradientTape() as tape:
        tape.watch(x)
        losses = layer.discretize(x, mask=mask).losses
        total = sum(losses.values()) / replicas
    return losses, tape.gradient(total, x)

def divided(quantizer, mask):
    layer = quantizer()
    layer.build(z.shape)
    losses, by_x = of_rows(layer, tf.constant(z), tf.constant(mask), 1)
    one = [{name: float(v) for name, v in losses.items()}, by_x.numpy().tolist()]
    with mirrored.scope():
        copy = quantizer()
        copy.build(z.shape)
    copy.set_weights(layer.get_weights())
    halves = [
        mirrored.experimental_distribute_values_from_function(
            lambda context, a=a: tf.constant(np.split(a, 2)[context.replica_id_in_sync_group])
        )
        for a in (z, mask)
    ]
    losses, by_x = mirrored.run(
        tf.function(lambda x, mask: of_rows(copy, x, mask, 2)), args=tuple(halves)
    )
    means = {name: float(np.mean(mirrored.experimental_local_results(v)))
             for name, v in losses.items()}
    return one, [means, np.concatenate(mirrored.experimental_local_results(by_x)).tolist()]


def revived(strategy, revival, mask):
    # Of three steps in which codes are revived, of vectors far from zero.
    with strategy.scope():
        layer = layers.VectorQuantizer(4, update="ema", revival=revival, seed=1)
        layer.build(z.shape)
        layer.embeddings.assign(np.arange(8).reshape(4, 2) / 8.0)
    rows = z.shape[0] // strategy.num_replicas_in_sync

    def mine(a):
        return strategy.experimental_distribute_values_from_function(
            lambda c: tf.constant(a[c.replica_id_in_sync_group * rows :][:rows])
        )

    step = tf.function(lambda x, mask: layer.discretize(x, training=True, mask=mask).indices)
    for shift in (10.0, 11.0, 12.0):
        strategy.run(step, args=(mine(z + shift), mine(mask)))
    copies = strategy.experimental_local_results(layer.embeddings.value)
    return [copy.numpy().tolist() for copy in copies]

revivals = {
    "replace_dead": codebooks.ReplaceDead(threshold=0.9, decay=0.1),
    "replace_unused": codebooks.ReplaceUnused(1),
    "cvq": codebooks.AnchorRevival(0.5),
}

masks = {"few": [1, 0, 0, 0, 1, 1, 1, 1], "none": [0, 0, 0, 0, 1, 1, 0, 1]}
found = {
    kind: {name: divided(quantizer, np.array(mask, bool)) for name, mask in masks.items()}
    for kind, quantizer in quantizers.items()
}
found["revived"] = {
    kind: {
        name: [revived(s, revival, np.array(mask, bool)) for s in (both["one"], mirrored)]
        for name, mask in masks.items()
    }
    for kind, revival in revivals.items()
}
"""


def run_with_two_devices(*parts):
    """In a process of its own: devices are made before TensorFlow starts."""
    code = "\n".join([START, *parts, "print(json.dumps(found))"])
    return json.loads(run_python(code).splitlines()[-1])


def trained(*kinds, then=""):
    return run_with_two_devices(f"KINDS = {kinds!r}", TRAINING, then)


@pytest.fixture(scope="module")
def few():
    return trained("gradient", "revival", then=PLAIN + UNEVEN)


@pytest.fixture(scope="module")
def others():
    return trained("ema", "ema_kmeans", "cvq", "affine", "transport", "lfq")


@pytest.fixture(scope="module")
def losses():
    return run_with_two_devices(LOSSES)


@pytest.mark.parametrize("kind", ["gradient", "revival"])
def test_two_replicas_are_one_device(few, kind):
    check_replicas(few[kind])


def test_the_usage_of_a_plain_keras_model_is_that_of_both_replicas(few):
    one, two = few["plain"]["one"], few["plain"]["two"]
    assert one.keys() == two.keys()
    assert one.keys() >= {"perplexity", "val_perplexity", "codebook_usage", "refused_batches"}
    for name in one.keys() - {"loss"}:  # of which docs/performance.md says what it counts twice
        np.testing.assert_allclose(one[name], two[name], rtol=1e-5, err_msg=name)


@pytest.mark.parametrize("model", ["vae", "prior"])
def test_a_replica_without_rows_makes_no_loss_nan(few, model):
    one, two = few["uneven"]["one"][model], few["uneven"]["two"][model]
    assert one["logs"].keys() == two["logs"].keys() >= {"loss"}
    for name, values in two["logs"].items():
        assert np.isfinite(values).all(), name
    # Nothing was learned, and evaluation draws no noise: the means are those of one device.
    for name, value in one["evaluation"].items():
        assert two["evaluation"][name] == pytest.approx(value, rel=1e-5), name


def test_what_is_not_finite_on_one_replica_moves_no_weight(few):
    # The scale of the loss is halved by the bad batch.
    expected = [[0.0, 1.0, True], [0.0, 8.0, True]]
    assert few["broken"] == {"one": expected, "two": expected}


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ema", "ema_kmeans", "cvq", "affine", "transport", "lfq"])
def test_two_replicas_are_one_device_by_every_update(others, kind):
    check_replicas(others[kind])


def check_replicas(found):
    one, two = found["one"], found["two"]
    assert two["spread"] == 0.0  # all copies of a weight are equal
    for a, b in zip(one["weights"], two["weights"], strict=True):
        # The same sums in another order, through four steps.
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    for part in ("logs", "evaluation"):
        assert set(one[part]) == set(two[part])
        for name in one[part]:
            if name != "gradient_norm":
                np.testing.assert_allclose(
                    one[part][name], two[part][name], rtol=1e-4, err_msg=name
                )
    # A mean of the norms that the replicas see, each in its half of the batch: not less than that
    # of the whole, and of halves drawn alike not much more.
    ratio = np.divide(two["logs"]["gradient_norm"], one["logs"]["gradient_norm"])
    assert (ratio > 1 - 1e-4).all()
    assert (ratio < 2).all()


@pytest.mark.slow
@pytest.mark.parametrize("mask", ["few", "none"])
@pytest.mark.parametrize("kind", ["replace_dead", "replace_unused", "cvq"])
def test_codes_are_revived_from_the_vectors_of_all_replicas(losses, kind, mask):
    """Also where masks leave one of them no vector to give."""
    (one,), two = losses["revived"][kind][mask]
    for copy in two:
        np.testing.assert_allclose(copy, one, rtol=1e-5)
    assert np.min(one) > 5.0  # at the vectors, away from where they started


@pytest.mark.slow
@pytest.mark.parametrize("mask", ["few", "none"])
@pytest.mark.parametrize("kind", ["diversity", "lfq", "bsq", "fsp", "ibq"])
def test_trap_17_losses_and_gradients_of_two_replicas_are_those_of_one_device(losses, kind, mask):
    """Trap 12. Also where masks leave one of them few vectors, or none.

    The mean distribution of a batch, of which an entropy is taken, is that of all replicas.
    """
    (alone, by_x), (mean, by_halves) = losses[kind][mask]
    assert alone.keys() == mean.keys()
    for name in alone:
        assert mean[name] == pytest.approx(alone[name], rel=1e-5, abs=1e-6), name
    # Sums in another order.
    np.testing.assert_allclose(by_halves, by_x, rtol=1e-4, atol=1e-6)
    assert np.abs(by_x).max() > 1e-3
