"""What priors refuse, before any compute, and what they say."""

import keras
import numpy as np
import pytest
from prior_cases import KINDS, SMALL, one_kind
from support import normal, to_numpy

from keras_vqvae import models, sampling

CODES = np.zeros((4, 4, 5), int)
LABELS = np.array([0, 1, 2, 0])


@pytest.fixture
def silent(monkeypatch):
    """A prior with labels whose network must not run."""
    prior = KINDS["gated"].make(num_classes=3, scale=None)

    def no_compute(*args, **kwargs):
        raise AssertionError("computed before the check")

    for part in ("embedding", "trunk", "head", "conditions"):
        monkeypatch.setattr(type(getattr(prior, part)), "__call__", no_compute)
    return prior


BAD_CODES = [
    (CODES + 0.0, TypeError, "`codes` should be integers"),
    (CODES.astype(bool), TypeError, "`codes` should be integers"),
    (CODES - 1, ValueError, r"`codes` should be in \[0, 5\)"),
    (CODES + 5, ValueError, r"`codes` should be in \[0, 5\)"),
    (CODES[:, :3], ValueError, r"`codes` should have shape \(batch, 4, 5\)"),
    (CODES[0], ValueError, r"`codes` should have shape \(batch, 4, 5\)"),
    (CODES[..., None], ValueError, r"`codes` should have shape \(batch, 4, 5\)"),
]


@pytest.mark.parametrize(("codes", "error", "message"), BAD_CODES)
def test_codes(silent, codes, error, message):
    silent.compile("adam")
    for method in (silent.log_prob, silent.fit, silent.evaluate):
        with pytest.raises(error, match=message):
            method(codes, LABELS)
    with pytest.raises(error, match=message):
        silent.fit(CODES, LABELS, validation_data=(codes, LABELS))


BAD_LABELS = [
    (None, ValueError, "`labels` are needed.*`with_labels=True`"),
    (LABELS + 0.0, TypeError, "`labels` should be integers"),
    (LABELS + 1, ValueError, r"`labels` should be in \[0, 3\)"),
    (LABELS - 1, ValueError, r"`labels` should be in \[0, 3\)"),
    (LABELS[:3], ValueError, r"`labels` should have shape \(4,\)"),
    (LABELS[:, None], ValueError, r"`labels` should have shape \(4,\)"),
]


@pytest.mark.parametrize(("labels", "error", "message"), BAD_LABELS)
def test_labels(silent, labels, error, message):
    silent.compile("adam")
    for method in (silent.log_prob, silent.fit, silent.evaluate):
        with pytest.raises(error, match=message):
            method(CODES, labels)
    with pytest.raises(error, match=message):
        silent.sample(4, labels=labels)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"given": CODES[:3]}, ValueError, "`given` should hold 4 grids"),
        ({"given": CODES[:, :3]}, ValueError, "`given` should have shape"),
        ({"given": CODES + 0.0}, TypeError, "`given` should be integers"),
        ({"given": CODES - 2}, ValueError, r"`given` should be in \[-1, 5\)"),
        ({"given": CODES + 5}, ValueError, r"`given` should be in \[-1, 5\)"),
        ({"sampler": "nucleus"}, ValueError, "`sampler` should be one of"),
        ({"sampler": sampling.TopK(6)}, ValueError, "at most the number of codes, 5"),
        ({"seed": -1}, ValueError, "`seed` should be an integer ≥ 0"),
        ({"seed": 0.5}, ValueError, "`seed` should be an integer ≥ 0"),
        ({"seed": 2**64}, ValueError, "`seed` should be an integer ≥ 0 of at most"),
        ({"batch_size": 0}, ValueError, "`batch_size` should be a positive integer"),
        ({"batch_size": 2.5}, ValueError, "`batch_size` should be a positive integer"),
        ({"n": -1}, ValueError, "`n` should be an integer ≥ 0"),
        ({"n": 2.0}, ValueError, "`n` should be an integer ≥ 0"),
        ({"n": None}, ValueError, "`n` should be an integer ≥ 0"),
        ({"labels": 3}, ValueError, r"`labels` should be in \[0, 3\)"),
        ({"guidance": 2.0}, ValueError, "`guidance` needs a prior .* `label_dropout`"),
    ],
)
def test_sample(silent, arguments, error, message):
    with pytest.raises(error, match=message):
        silent.sample(**{"n": 4, "labels": 0, **arguments})


@pytest.mark.parametrize("guidance", [float("nan"), float("inf"), "much"])
def test_guidance(guidance):
    prior = KINDS["gated"].make(num_classes=3, label_dropout=0.5)
    with pytest.raises(ValueError, match="`guidance` should be a finite number"):
        prior.sample(2, labels=0, guidance=guidance)


def test_a_strategy_has_to_suit_the_smallest_table():
    prior = KINDS["gated"].make(depth=2, num_embeddings=(5, 2))
    with pytest.raises(ValueError, match="at most the number of codes, 2"):
        prior.sample(1, sampler=sampling.TopK(3))


@pytest.mark.parametrize(
    ("condition", "error", "message"),
    [
        (None, ValueError, "`condition` is needed"),
        (normal((4, 3)), ValueError, r"`condition` should have shape \(4, 2\)"),
        (np.full((4, 2), np.nan), ValueError, "`condition` should be finite"),
        (np.full((4, 2), "a"), TypeError, "`condition` should be numbers"),
    ],
)
def test_conditions(condition, error, message):
    prior = KINDS["gated"].make(condition_shape=(2,), scale=None)
    prior.compile("adam")
    with pytest.raises(error, match=message):
        prior.log_prob(CODES, condition=condition)
    with pytest.raises(error, match=message):
        prior.fit(CODES, condition)
    with pytest.raises(error, match=message):
        prior.sample(4, condition=condition)


def test_labels_and_conditions_come_as_a_pair():
    prior = KINDS["gated"].make(condition_shape=(2,), num_classes=3, scale=None)
    prior.compile("adam")
    with pytest.raises(ValueError, match="pass the pair"):
        prior.fit(CODES, LABELS)


@one_kind
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"code_shape": (4,)}, r"`code_shape` should be.*length T is \(1, T\).*shape=\(4,\)"),
        ({"code_shape": (None, 4)}, "`code_shape` should be"),
        ({"code_shape": (4, 0)}, "`code_shape` should be"),
        ({"code_shape": 7}, "`code_shape` should be.*code_shape=7"),
        ({"code_shape": (4, 4, 2, 1)}, "`code_shape` should be"),
        ({"num_embeddings": 1}, "`num_embeddings` should be at least 2"),
        ({"num_embeddings": 8.0}, "`num_embeddings` should be one positive integer.*=8.0"),
        ({"num_embeddings": (4, 4)}, "`num_embeddings` should be one positive integer, or one for"),
        ({"num_classes": 0}, "`num_classes` should be a positive integer or None"),
        ({"label_dropout": 0.1}, "`label_dropout` needs `num_classes`"),
        ({"label_dropout": 1.0, "num_classes": 2}, r"`label_dropout` should be in \[0, 1\)"),
        ({"label_smoothing": -0.1}, r"`label_smoothing` should be in \[0, 1\)"),
        ({"label_smoothing": "a"}, r"`label_smoothing` should be in \[0, 1\)"),
        ({"condition_shape": (3, 2)}, "`condition_shape` should be"),
        ({"condition_shape": 16}, r"`condition_shape` should be \(d,\).*condition_shape=16"),
        ({"condition_shape": (3, 5, 2)}, "`condition_shape` should be"),
        ({"condition_shape": (0,)}, "`condition_shape` should be"),
    ],
)
def test_constructor(case, options, message):
    with pytest.raises(ValueError, match=message):
        case.make(scale=None, **options)


@pytest.mark.parametrize(
    ("cls", "options", "message"),
    [
        (models.PixelCNN, {"filters": 5}, "`filters` should be positive and even"),
        (models.PixelCNN, {"residual_blocks": 0}, "`residual_blocks` should be a positive integer"),
        (models.GatedPixelCNN, {"blocks": 0}, "`blocks` should be a positive integer"),
        (models.GatedPixelCNN, {"filters": 4.0}, "`filters` should be a positive integer"),
        (models.TransformerPrior, {"hidden_dim": 8.5}, "`hidden_dim` should be a positive integer"),
        (models.PixelCNN, {"num_classes": 2.7}, "`num_classes` should be a positive integer or"),
        (models.GatedPixelCNN, {"dropout": 1.0}, r"`dropout` should be in \[0, 1\)"),
        (
            models.PixelSNAIL,
            {"attention_every": 0},
            "`attention_every` should be a positive integer",
        ),
        (models.PixelSNAIL, {"num_heads": 5}, "`num_heads` should be a divisor of `filters`"),
        (models.TransformerPrior, {"num_heads": 5}, "should be a divisor of `hidden_dim`"),
    ],
)
def test_settings(cls, options, message):
    with pytest.raises(ValueError, match=message):
        cls((4, 4), 5, **options)


@pytest.mark.parametrize("kind", ["pixelcnn", "gated", "pixelsnail", "transformer"])
def test_integers_may_be_those_of_numpy(kind):
    cls, options = SMALL[kind]
    wide = {name: np.int64(v) if isinstance(v, int) else v for name, v in options.items()}
    prior = cls((np.int64(2), 2), np.int64(3), num_classes=np.int64(2), name="prior", **wide)
    plain = cls((2, 2), 3, num_classes=2, name="prior", **options)
    assert prior.get_config() == plain.get_config()


def test_numbers_of_samples_may_be_those_of_numpy():
    prior = models.PixelCNN((2, 2), 3, num_classes=2, **SMALL["pixelcnn"][1])
    samples = prior.sample(np.int64(3), 0, seed=1, batch_size=np.int64(2))
    np.testing.assert_array_equal(samples, prior.sample(3, 0, seed=1))


def test_named_arrays_are_refused():
    prior = KINDS["pixelcnn"].make(scale=None)
    prior.compile("adam", run_eagerly=True)
    with pytest.raises(TypeError, match="`x` should give grids, or pairs of grids and labels"):
        prior.fit({"codes": np.zeros((2, 2, 2), "int32")}, verbose=0)


def test_a_list_of_codes_is_refused():
    prior = models.PixelCNN((2, 2), 3, **SMALL["pixelcnn"][1])
    prior.compile("adam")
    codes = [np.zeros((2, 2), int)] * 4
    for method in (prior.fit, prior.evaluate):
        with pytest.raises(TypeError, match=r"`x` should be an array of codes.*a list of 4 item"):
            method(codes, verbose=0)
    with pytest.raises(TypeError, match="`validation_data` should be an array of codes"):
        prior.fit(np.stack(codes), validation_data=codes, verbose=0)


def test_nothing_is_no_data(silent):
    silent.compile("adam")
    for method in (silent.fit, silent.evaluate):
        with pytest.raises(ValueError, match="`x` should hold at least one grid"):
            method(CODES[:0], LABELS[:0])
    with pytest.raises(ValueError, match="`validation_data` should hold at least one grid"):
        silent.fit(CODES, LABELS, validation_data=(CODES[:0], LABELS[:0]))


@pytest.mark.tensorflow_only
def test_pipelines_of_nothing_and_of_single_grids(silent):
    import tensorflow as tf

    silent.compile("adam")
    grids = tf.data.Dataset.from_tensor_slices((CODES, LABELS))
    with pytest.raises(ValueError, match=r"single grids, of shape \(4, 5\).*`x\.batch\(128\)`"):
        silent.fit(grids)
    with pytest.raises(ValueError, match="`x` should hold at least one batch"):
        silent.fit(grids.take(0).batch(2))


def batches_of(codes, labels):
    """A generator, which nothing looks into before the first step."""
    while True:
        yield codes, labels


@pytest.mark.parametrize(
    ("codes", "labels", "error", "message"),
    [
        (CODES + 0.7, LABELS, TypeError, "`codes` should be integers. Received: dtype float"),
        (CODES, LABELS[:, None], ValueError, r"`labels` should have shape \(batch,\)"),
    ],
)
def test_what_a_generator_gives(codes, labels, error, message):
    prior = KINDS["gated"].make(num_classes=3, scale=None)
    prior.compile("adam")
    with pytest.raises(error, match=message):
        prior.fit(batches_of(codes, labels), steps_per_epoch=1, verbose=0)


def test_validation_data_may_be_a_list():
    prior = KINDS["gated"].make(num_classes=3, scale=None)
    prior.compile("adam")
    logs = prior.fit(CODES, LABELS, validation_data=[CODES, LABELS], verbose=0).history
    loss = prior.evaluate(CODES, LABELS, verbose=0, return_dict=True)["loss"]
    assert logs["val_loss"] == [pytest.approx(loss, rel=1e-5)]


def test_no_label_is_beyond_what_a_small_integer_holds():
    prior = KINDS["gated"].make(num_classes=256, label_dropout=0.999)
    labels = np.array([3, 255] * 4)
    dropped = [
        to_numpy(prior.conditions(keras.ops.cast(labels, dtype), training=True))[:, 0, 0]
        for dtype in ("uint8", "int32")
    ]
    unlabelled = to_numpy(prior.conditions.class_embedding.embeddings)[256]
    for rows in dropped:
        np.testing.assert_allclose(rows, np.tile(unlabelled, (8, 1)), rtol=1e-6)
