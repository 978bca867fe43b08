import keras
import numpy as np
import pytest

from keras_vqvae import callbacks, layers


def _model(*names):
    return keras.Sequential(
        [
            keras.Input((2, 2, 3)),
            *(layers.VectorQuantizer(4, update="ema", name=name) for name in names),
            keras.layers.Dense(3),  # something to train
        ]
    )


def _fit(model, x, **kwargs):
    model.compile("sgd", "mse")
    callback = callbacks.CodebookMetrics(**kwargs)
    return model.fit(x, x, epochs=2, batch_size=4, callbacks=[callback], verbose=0).history


def test_perplexity_is_that_of_the_whole_epoch():
    """Two codes, each alone in its batches: every batch has perplexity 1, the epoch has 2."""
    model = _model("quantizer")
    model.build((None, 2, 2, 3))
    table = np.array([[0, 0, 0], [9, 9, 9], [50, 0, 0], [0, 50, 0]], "float32")
    model.layers[0].embeddings.assign(table)
    x = np.zeros((8, 2, 2, 3), "float32")
    x[4:] = 9.0
    model.compile("sgd", "mse")
    history = model.fit(
        x, x, batch_size=4, shuffle=False, callbacks=[callbacks.CodebookMetrics()], verbose=0
    ).history
    assert history["perplexity"] == [pytest.approx(2.0, rel=1e-6)]
    assert history["codebook_usage"] == [0.5]


def test_counts_start_anew_in_every_epoch():
    model = _model("quantizer")
    _fit(model, np.random.normal(size=(8, 2, 2, 3)))
    # 8 samples of 4 positions in the last epoch, not twice as many.
    assert float(keras.ops.sum(model.layers[0].code_counts)) == 32.0


def test_refused_batches_are_reported_for_each_epoch():
    model = _model("quantizer")
    x = np.ones((12, 2, 2, 3), "float32")
    x[1] = np.nan
    model.compile("sgd", "mse")
    history = model.fit(
        x,
        np.ones_like(x),
        batch_size=4,
        epochs=2,
        shuffle=False,
        callbacks=[callbacks.CodebookMetrics()],
        verbose=0,
    ).history
    assert history["refused_batches"] == [1.0, 1.0]  # one of the three, in each epoch
    assert np.isfinite(keras.ops.convert_to_numpy(model.layers[0].embeddings)).all()


def test_several_quantizers_are_told_apart():
    history = _fit(_model("first", "second"), np.random.normal(size=(8, 2, 2, 3)))
    assert {"first/perplexity", "second/codebook_usage", "second/refused_batches"} <= set(history)


def test_validation_figures_come_from_the_codes_of_the_given_inputs():
    x = np.random.normal(size=(8, 2, 2, 3)).astype("float32")
    model = _model("quantizer")
    history = _fit(model, x, validation_data=x[:4])
    codes = keras.ops.convert_to_numpy(model.layers[0].encode(x[:4]))
    shares = np.bincount(codes.ravel(), minlength=4) / codes.size
    expected = np.exp(-sum(p * np.log(p) for p in shares if p > 0))
    assert history["val_perplexity"][-1] == pytest.approx(expected, rel=1e-5)


class CountsTraces(keras.layers.Dense):
    """Counts how often it is called for evaluation."""

    evaluations = 0

    def call(self, x, training=False):
        self.evaluations += not training
        return super().call(x)


def test_validation_is_compiled_once_and_sees_the_newest_weights():
    x = np.random.default_rng(0).normal(size=(8, 5)).astype("float32")
    dense, quantizer = CountsTraces(3), layers.VectorQuantizer(8, name="quantizer")
    model = keras.Sequential([keras.Input((5,)), dense, quantizer, keras.layers.Dense(5)])
    model.compile(keras.optimizers.SGD(3.0), "mse")
    seen, evaluations = [], []

    def note(epoch, logs):
        evaluations.append(dense.evaluations)
        vectors = x @ np.asarray(dense.kernel) + np.asarray(dense.bias)
        shares = np.bincount(np.asarray(quantizer.encode(vectors)), minlength=8) / 8
        seen.append(np.exp(-sum(p * np.log(p) for p in shares if p > 0)))

    counting = callbacks.CodebookMetrics(validation_data=x)
    noting = keras.callbacks.LambdaCallback(on_epoch_end=note)
    history = model.fit(x, x, epochs=4, callbacks=[counting, noting], verbose=0).history
    assert history["val_perplexity"] == pytest.approx(seen, rel=1e-5)
    assert len(set(seen)) > 1
    assert evaluations == evaluations[:1] * 4


def test_a_model_without_a_quantizer_is_refused():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(3)])
    with pytest.raises(ValueError, match="no quantizer"):
        _fit(model, np.zeros((4, 3)))


def test_a_sequential_model_need_not_be_built():
    x = np.random.default_rng(0).normal(size=(8, 2, 2, 3)).astype("float32")
    model = keras.Sequential(_model("q").layers)
    assert not model.built
    history = _fit(model, x, validation_data=x)
    assert len(history["perplexity"]) == len(history["val_perplexity"]) == 2


class MadeInBuild(keras.Model):
    def build(self, input_shape):
        self.quantizer = layers.VectorQuantizer(4)
        self.quantizer.build(input_shape)

    def call(self, x, training=None):
        return self.quantizer(x, training=training)


def test_a_quantizer_may_be_made_with_the_first_batch(tmp_path):
    x = np.random.default_rng(0).normal(size=(8, 2, 2, 3)).astype("float32")
    model = MadeInBuild()
    model.compile("sgd", "mse")
    used = [callbacks.CodebookMetrics(), callbacks.TensorBoardCodeUsage(tmp_path)]
    history = model.fit(x, x, epochs=2, callbacks=used, verbose=0).history
    assert len(history["perplexity"]) == 2
    # The counts of one epoch: 4 positions of 8 vectors.
    assert float(keras.ops.sum(model.quantizer.code_counts)) == 32.0


def test_the_batch_size_is_looked_at_before_training():
    with pytest.raises(ValueError, match=r"`batch_size` should be a positive integer"):
        callbacks.CodebookMetrics(batch_size=0)


def test_a_residual_quantizer_has_the_figures_of_its_depths():
    model = keras.Sequential([keras.Input((3,)), layers.ResidualVectorQuantizer(2, (4, 5))])
    model.compile("sgd", "mse")
    x = np.random.default_rng(0).standard_normal((8, 3)).astype("float32")
    callback = callbacks.CodebookMetrics(validation_data=x)
    history = model.fit(x, x, callbacks=[callback], verbose=0).history
    for depth, size in enumerate((4, 5)):
        assert 1 <= history[f"depth_{depth}/perplexity"][0] <= size
        assert 1 <= history[f"val_depth_{depth}/perplexity"][0] <= size
    assert "perplexity" not in history


def test_validation_figures_leave_masked_positions_out():
    x = np.zeros((6, 4, 2), "float32")
    x[:, 0], x[:, 1] = 1.0, 5.0  # the others are padding
    quantizer = layers.VectorQuantizer(3, update="ema", embeddings_initializer="kmeans", seed=0)
    model = keras.Sequential(
        [keras.Input((4, 2)), keras.layers.Masking(), quantizer, keras.layers.Dense(2)]
    )
    history = _fit(model, x, validation_data=x)
    assert history["val_perplexity"] == [pytest.approx(2.0, rel=1e-6)] * 2
    assert np.isfinite(history["loss"]).all()


def two_codes(shape=(2,)):
    """A layer of four codes, of which 0 and 1 stand for the numbers 0 and 1."""
    layer = layers.VectorQuantizer(4, name="quantizer")
    layer.build((None, *shape))
    layer.embeddings.assign(np.repeat([[0.0], [1.0], [9.0], [-9.0]], shape[-1], axis=1))
    return layer


def test_validation_counts_every_call_of_a_shared_quantizer():
    first, second = keras.Input((3, 2)), keras.Input((3, 2))
    quantizer = two_codes()
    outputs = [keras.layers.Dense(2)(quantizer(x)) for x in (first, second)]
    # Another model with the same layer is none of this one's business.
    elsewhere = keras.Input((3, 2))
    keras.Model(elsewhere, quantizer(elsewhere))
    model = keras.Model([first, second], outputs)
    model.compile(keras.optimizers.SGD(0.0), "mse")
    x = [np.zeros((8, 3, 2), "float32"), np.ones((8, 3, 2), "float32")]
    callback = callbacks.CodebookMetrics(validation_data=x)
    history = model.fit(x, x, batch_size=4, callbacks=[callback], verbose=0).history
    for key in ("perplexity", "codebook_usage"):
        assert history[f"val_{key}"] == pytest.approx(history[key])
    assert history["val_perplexity"] == [pytest.approx(2.0)]


def test_validation_data_may_be_what_fit_takes():
    x = np.random.default_rng(0).normal(size=(8, 2, 2, 3)).astype("float32")
    histories = [
        _fit(_model("q"), x, validation_data=given) for given in (x, [x], (x, x), [x, x], (x, x, x))
    ]
    assert all("val_perplexity" in history for history in histories)


FORMS = {
    "lists": lambda x: (x, x),
    "tuples": lambda x: (tuple(x), x),
    "with_weights": lambda x: (x, x, [np.ones(8)] * 2),
    "a_list": lambda x: [x, x],
    "inputs": lambda x: tuple(x),
    "a_list_of_inputs": lambda x: x,
    "inputs_by_name": lambda x: {"a": x[0], "b": x[1]},
    "by_name": lambda x: ({"a": x[0], "b": x[1]}, x),
}


@pytest.mark.parametrize("form", FORMS)
def test_validation_data_of_two_inputs_is_told_from_inputs_and_targets(form):
    inputs = [keras.Input((3, 2), name=name) for name in "ab"]
    quantizer = two_codes()
    model = keras.Model(inputs, [keras.layers.Dense(2)(quantizer(x)) for x in inputs])
    model.compile(keras.optimizers.SGD(0.0), "mse")
    # A code for each of the inputs: one of them alone would have perplexity 1.
    x = [np.zeros((8, 3, 2), "float32"), np.ones((8, 3, 2), "float32")]
    callback = callbacks.CodebookMetrics(validation_data=FORMS[form](x))
    history = model.fit(x, x, batch_size=4, callbacks=[callback], verbose=0).history
    assert history["val_perplexity"] == [pytest.approx(2.0)]


class CallsItself(keras.Model):
    def __init__(self):
        super().__init__()
        self.quantizer = layers.VectorQuantizer(4)

    def call(self, x):
        return self.quantizer(x)


def test_validation_data_is_refused_where_the_quantizers_input_is_not_known():
    x = np.zeros((4, 2, 2, 3), "float32")
    inside = keras.Sequential([keras.Input((2, 2, 3)), layers.VectorQuantizer(4)])
    nested = keras.Sequential([keras.Input((2, 2, 3)), inside, keras.layers.Dense(3)])
    for model in (nested, CallsItself()):
        with pytest.raises(ValueError, match="`validation_data` needs a functional or"):
            _fit(model, x, validation_data=x)


def test_figures_of_nothing_are_a_warning():
    """A usage of 0 would look like a table that has collapsed."""
    frozen = _model("frozen")
    frozen.layers[0].trainable = False
    x = np.random.default_rng(0).normal(size=(8, 2, 2, 3)).astype("float32")
    with pytest.warns(UserWarning, match="no code of 'frozen' was counted") as seen:
        _fit(frozen, x)
    assert len([w for w in seen if "was counted" in str(w.message)]) == 1
    with pytest.warns(UserWarning, match="does not hand it `training`"):
        _fit(CallsItself(), x)
